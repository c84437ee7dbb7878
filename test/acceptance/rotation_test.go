package acceptance

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// T05. An answer that is lost can be asked for again, at any replica, and is the same.
func lostAnswers(a *attempt) {
	for _, app := range a.apps() {
		held := a.connect(a, "alice", app, a.scope)
		token := held.Refresh
		for round := range long(40, 200) {
			// The answer is cut off after its first byte, or comes and is not kept.
			if round%2 == 0 {
				a.hangUp(app.refresh(token))
			} else {
				a.token(a, app.refresh(token))
			}
			var successors []string
			for _, replica := range append(a.replicas(), a.url) {
				got := a.do(a, http.MethodPost, replica+"/oauth2/token", formHeader, app.refresh(token).Encode())
				successors = append(successors, got.Refresh)
			}
			same := successors[0] != "" && successors[0] != token
			for _, successor := range successors {
				same = same && successor == successors[0]
			}
			a.check(same, "round %d: asking again gave %d successors, not one", round, len(successors))
			if !same {
				return
			}
			token = successors[0]
		}
		a.checkLeaf(token)
		got := a.token(a, app.refresh(token))
		a.check(got.status == http.StatusOK && a.works(a, a.url, got.Access), "the last token: %s", got)
	}
}

// apps are those that can be used, of each type.
func (a *attempt) apps() []client {
	if a.portal.id == "" {
		return []client{a.phone}
	}
	return []client{a.phone, a.portal}
}

// hangUp posts a refresh and goes away when the answer begins to come.
func (a *attempt) hangUp(form url.Values) {
	a.Helper()
	address, err := url.Parse(a.url)
	a.must(err)
	if address.Scheme != "http" {
		a.token(a, form) // the answer comes, and is not looked at
		return
	}
	connection, err := net.Dial("tcp", address.Host)
	a.must(err)
	body := form.Encode()
	_, err = fmt.Fprintf(connection, "POST /oauth2/token HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s", address.Host, len(body), body)
	a.must(err)
	_, err = connection.Read(make([]byte, 1))
	a.must(err)
	a.must(connection.Close())
}

// checkLeaf says that a token is the one live leaf of its family.
func (a *attempt) checkLeaf(token string) {
	a.Helper()
	if a.world == nil {
		return
	}
	hash := sha256.Sum256([]byte(token))
	var leaves, own int
	a.must(a.world.postgres(a, "gateway1").QueryRow(a.Context(), `SELECT count(*), count(*) FILTER (WHERE refresh_tokens.hash = $1 AND families.current_hash = $1)
		FROM families JOIN refresh_tokens ON refresh_tokens.tenant = families.tenant AND refresh_tokens.family_id = families.id AND refresh_tokens.generation = families.generation
		WHERE families.id = (SELECT family_id FROM refresh_tokens WHERE hash = $1)`, hash[:]).Scan(&leaves, &own))
	a.check(leaves == 1 && own == 1, "the family has %d leaves, and the app's is %d of them", leaves, own)
}

// T06. Whoever presents a token that is two or more generations old is not the one who went on:
// the family ends at once, for both.
func rotationTheft(a *attempt) {
	for _, app := range a.apps() {
		for depth := 2; depth <= 5; depth++ {
			held := a.connect(a, "alice", app, a.scope)
			tokens, access := []string{held.Refresh}, []string{held.Access}
			for range depth {
				got := a.token(a, app.refresh(tokens[len(tokens)-1]))
				if got.status != http.StatusOK {
					a.Fatalf("refresh: %s", got)
				}
				tokens, access = append(tokens, got.Refresh), append(access, got.Access)
			}
			reused := a.token(a, app.refresh(tokens[0]))
			a.check(reused.Error == "invalid_grant" && reused.Refresh == "", "a token %d generations old: %s", depth, reused)
			for _, token := range tokens {
				got := a.token(a, app.refresh(token))
				a.check(got.Error == "invalid_grant", "a token of a family that is dead: %s", got)
			}
			for _, token := range access {
				a.check(a.isDead(token), "an access token of a family that is dead works")
			}
		}
	}
	// A thief who takes the same step as the app is not told from it, and gets no token of their own.
	held := a.connect(a, "alice", a.phone, a.scope)
	thief, app := a.token(a, a.phone.refresh(held.Refresh)), a.token(a, a.phone.refresh(held.Refresh))
	a.check(thief.Refresh == app.Refresh && app.Refresh != "", "thief and app have different successors of one token: %s and %s", thief, app)
	a.checkLeaf(app.Refresh)
	if a.world != nil {
		reuses := 0
		for _, one := range a.world.gateways {
			record, err := os.ReadFile(filepath.Join(one.folder, "audit.jsonl"))
			a.must(err)
			reuses += strings.Count(string(record), `"token.reuse"`)
		}
		a.check(reuses >= 4*len(a.apps()), "the audit record has %d reuses", reuses)
	}
}

// T07. Two tabs refresh at once, one at each replica, and one replica is killed at some moment of
// it. The app asks again and goes on, with the one leaf.
func rotationKilled(a *attempt) {
	held := a.connect(a, "alice", a.phone, a.scope)
	token := held.Refresh
	for round := range long(8, 100) {
		victim := a.world.gateways[round%2]
		delay := time.Duration(rand.Int64N(int64(8 * time.Millisecond)))
		var group sync.WaitGroup
		successors := make([]string, 2)
		for i, replica := range a.replicas() {
			group.Go(func() {
				if got, err := a.send(a.Context(), http.MethodPost, replica+"/oauth2/token", formHeader, a.phone.refresh(token).Encode()); err == nil {
					successors[i] = got.Refresh
				}
			})
		}
		time.Sleep(delay)
		victim.end(syscall.SIGKILL)
		group.Wait()
		survivor := a.world.gateways[(round+1)%2]
		got := a.do(a, http.MethodPost, survivor.address()+"/oauth2/token", formHeader, a.phone.refresh(token).Encode())
		a.check(got.status == http.StatusOK && got.Refresh != "", "round %d: the app asks again: %s", round, got)
		for _, successor := range successors {
			a.check(successor == "" || successor == got.Refresh, "round %d: a tab has another successor", round)
		}
		a.must(victim.start())
		a.check(a.works(a, victim.address(), got.Access), "round %d: the new access token does not work where the gateway was killed", round)
		if token = got.Refresh; token == "" {
			return
		}
		a.checkLeaf(token)
	}
}
