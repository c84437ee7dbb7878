package acceptance

import (
	"net/http"
	"sync"
	"time"

	"golang.org/x/oauth2"
)

// T03. Of many who redeem one code at once, at all replicas, one gets tokens; and because each of
// the others had all that the app has, the grant ends. A wrong verifier ends nothing.
func singleUse(a *attempt) {
	for range long(3, 20) {
		q := a.ask(a.phone, a.scope)
		form := q.redemption(a.code(a, "alice", q))
		succeeded := a.allAtOnce(50, func(replica string) (reply, error) {
			return a.send(a.Context(), http.MethodPost, replica+"/oauth2/token", formHeader, form.Encode())
		})
		a.check(len(succeeded) == 1, "%d of 50 redemptions of one code succeeded", len(succeeded))
		for _, got := range succeeded {
			a.check(a.isDead(got.Access), "the access token of a code that was redeemed twice is alive")
			again := a.token(a, a.phone.refresh(got.Refresh))
			a.check(again.Error == "invalid_grant", "the refresh token of a code that was redeemed twice: %s", again)
		}
	}
	q := a.ask(a.phone, a.scope)
	form := q.redemption(a.code(a, "alice", q))
	held := a.token(a, form)
	succeeded := a.allAtOnce(20, func(replica string) (reply, error) {
		wrong := with(form, "code_verifier", oauth2.GenerateVerifier())
		return a.send(a.Context(), http.MethodPost, replica+"/oauth2/token", formHeader, wrong.Encode())
	})
	a.check(len(succeeded) == 0, "%d replays with a wrong verifier succeeded", len(succeeded))
	other := a.token(a, with(form, "client_id", a.tablet.id))
	a.check(other.Error == "invalid_grant", "a replay by another app: %s", other)
	time.Sleep(1100 * time.Millisecond) // replicas may remember a token for a second
	for _, replica := range a.replicas() {
		a.check(a.works(a, replica, held.Access), "replays with a wrong verifier have ended the grant")
	}
	again := a.token(a, a.phone.refresh(held.Refresh))
	a.check(again.status == http.StatusOK, "refresh after replays with a wrong verifier: %s", again)
}

// allAtOnce makes requests at the same instant, spread over the replicas, and gives the answers
// that are a success.
func (a *attempt) allAtOnce(count int, request func(replica string) (reply, error)) []reply {
	a.Helper()
	var group sync.WaitGroup
	start := make(chan struct{})
	replies, errs := make([]reply, count), make([]error, count)
	replicas := a.replicas()
	for i := range count {
		group.Go(func() {
			<-start
			replies[i], errs[i] = request(replicas[i%len(replicas)])
		})
	}
	close(start)
	group.Wait()
	var succeeded []reply
	for i, got := range replies {
		if errs[i] != nil {
			a.Fatal(errs[i])
		}
		if got.status/100 == 2 {
			succeeded = append(succeeded, got)
		}
	}
	return succeeded
}

// isDead waits until an access token is refused everywhere, for as long as replicas may remember it.
func (a *attempt) isDead(token string) bool {
	a.Helper()
	return a.within(bar(1500*time.Millisecond), func() bool {
		for _, replica := range a.replicas() {
			if a.works(a, replica, token) {
				return false
			}
		}
		return true
	})
}

// within waits for something to become true.
func (a *attempt) within(patience time.Duration, isTrue func() bool) bool {
	a.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if isTrue() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}
