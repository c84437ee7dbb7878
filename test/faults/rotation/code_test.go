package rotation

import (
	"bytes"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/twin/person"
)

// F12 and T03: one code, fifty redemptions, two processes, one database. One wins. The others are
// replays of a code that is right in everything, so what the winner got is ended.
func TestF12OneCodeIsRedeemedByFiftyAtTwoGateways(t *testing.T) {
	c := startCluster(t, clusterOptions{gateways: 2, postgres: true})
	alice := person.New("alice", password)
	for range long(5, 100) {
		form := c.code(alice)
		a := &app{cluster: c, http: newHTTPClient(t)}

		// Whoever saw the code in a URL does not have the verifier, and must not be able to end
		// anything by it.
		wrong := url.Values{}
		for key, values := range form {
			wrong[key] = values
		}
		wrong.Set("code_verifier", "a-verifier-that-somebody-made-up-and-that-is-long-enough")
		if got, err := a.post(t.Context(), c.url, wrong); err != nil || got.Error != "invalid_grant" {
			t.Errorf("a wrong verifier: %+v, %v", got, err)
		}

		const together = 50
		answers := make([]answer, together)
		ready := make(chan struct{})
		var group sync.WaitGroup
		for i := range answers {
			base := "http://" + c.gateways[i%2].alive()
			group.Go(func() {
				<-ready
				var err error
				if answers[i], err = a.post(t.Context(), base, form); err != nil {
					t.Error(err)
				}
			})
		}
		close(ready)
		group.Wait()
		var won []answer
		for _, got := range answers {
			switch {
			case got.status == http.StatusOK:
				won = append(won, got)
			case got.status != http.StatusBadRequest || got.Error != "invalid_grant":
				t.Errorf("a replay: %+v", got)
			}
		}
		if len(won) != 1 {
			t.Fatalf("%d of %d redemptions succeeded, want 1", len(won), together)
		}
		mustBeEnded(t, a, won[0])
	}
}

// mustBeEnded says that tokens are refused on every gateway, within a second.
func mustBeEnded(t *testing.T, a *app, won answer) {
	t.Helper()
	if got, err := a.present(t.Context(), won.Refresh); err != nil || got.Error != "invalid_grant" {
		t.Errorf("the winner's refresh token: %+v, %v; want invalid_grant", got, err)
	}
	deadline := time.Now().Add(time.Second)
	for range 4 { // both gateways take turns
		for status := http.StatusOK; status == http.StatusOK; {
			var err error
			if status, err = a.check(t.Context(), won.Access); err != nil || time.Now().After(deadline) {
				t.Fatalf("the winner's access token: %d, %v; want 401 within a second", status, err)
			}
		}
	}
}

// T05: an answer that is lost can be asked for again, and is the same.
func TestT05LostAnswersGiveTheSameSuccessor(t *testing.T) {
	for name, options := range map[string]clusterOptions{"SQLite": {}, "PostgreSQL": {gateways: 2, postgres: true}} {
		t.Run(name, func(t *testing.T) {
			c := startCluster(t, options)
			a := c.connect()
			for round := range long(20, 200) {
				_, sent := a.tokens()
				var lost []byte
				c.front.watch(nil, func(_ *carried, piece []byte) []byte {
					lost = append([]byte{}, piece...)
					return nil
				})
				if got, err := a.present(t.Context(), sent); err == nil {
					t.Fatalf("round %d: the answer was not lost: %+v", round, got)
				}
				c.front.watch(nil, nil)
				if len(lost) == 0 {
					t.Fatalf("round %d: there was no answer to lose", round)
				}
				if err := a.persist(t.Context()); err != nil {
					t.Fatalf("round %d: %v", round, err)
				}
				_, newest := a.tokens()
				if !containsToken(lost, newest) {
					t.Fatalf("round %d: the second answer has another refresh token than the lost one", round)
				}
				a.mustWork(t)
			}
			a.theftIsNoticed(t)
		})
	}
}

// T07: two tabs refresh by the same token at the same time, on two gateways.
func TestT07TwoTabsGetTheSameSuccessor(t *testing.T) {
	c := startCluster(t, clusterOptions{gateways: 2, postgres: true})
	a := c.connect()
	for round := range long(20, 500) {
		_, sent := a.tokens()
		form := url.Values{"grant_type": {"refresh_token"}, "client_id": {clientID}, "refresh_token": {sent}}
		var answers [2]answer
		var group sync.WaitGroup
		for i := range answers {
			base := "http://" + c.gateways[i].alive()
			group.Go(func() {
				var err error
				if answers[i], err = a.post(t.Context(), base, form); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		first, second := answers[0], answers[1]
		if first.status != http.StatusOK || second.status != http.StatusOK || first.Refresh != second.Refresh || first.Access == second.Access {
			t.Fatalf("round %d: %+v and %+v; want one refresh token and two access tokens", round, first, second)
		}
		a.access, a.refresh = first.Access, first.Refresh
		a.mustWork(t)
		a.access = second.Access
		a.mustWork(t)
	}
	a.theftIsNoticed(t)
}

func containsToken(piece []byte, token string) bool {
	return token != "" && bytes.Contains(piece, []byte(`"`+token+`"`))
}
