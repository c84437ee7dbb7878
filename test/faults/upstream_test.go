package faults

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/shiftgrant/shiftgrant/internal/secret"
	"github.com/shiftgrant/shiftgrant/twin"
	"github.com/shiftgrant/shiftgrant/twin/dataapi"
	"github.com/shiftgrant/shiftgrant/twin/idp"
	"github.com/shiftgrant/shiftgrant/twin/person"
)

func secretText(text string) secret.Text { return secret.New(text) }

// F05: clocks that differ a little are nobody's business; those that differ much are refused,
// and the reason is in the log.
func TestF05ClockSkew(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	base := time.Now
	for _, skew := range []time.Duration{-25 * time.Second, 25 * time.Second, 0} {
		s.now = func() time.Time { return base().Add(skew) }
		token := s.token(t, "alice")
		if got := s.mustSQL(t, token, "select current_user"); fmt.Sprint(got.rows) != "[[alice]]" {
			t.Errorf("skew %v: rows %v", skew, got.rows)
		}
		if _, err := s.refresh(t.Context(), token); err != nil {
			t.Errorf("skew %v: refresh: %v", skew, err)
		}
	}
	for _, skew := range []time.Duration{-20 * time.Minute, 20 * time.Minute} {
		s.now = func() time.Time { return base().Add(skew) }
		if _, err := s.signIn(t.Context(), "bob"); err == nil {
			if token, err := s.signIn(t.Context(), "bob"); err == nil {
				got, err := s.sql(t.Context(), token, "select 1")
				if err != nil || got.status == http.StatusOK {
					t.Errorf("skew %v: a statement ran: %d %v", skew, got.status, err)
				}
				hygienic(t, "a statement with a wrong clock", got)
			}
		}
	}
}

// F06: a key that the IdP has changed without a word is taken at once, if that does not happen twice
// in ten seconds: that many questions about made-up keys are the most that an IdP gets.
func TestF06KeyRotationOfTheIdP(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	s.token(t, "alice")
	for range long(1, 10) {
		time.Sleep(long(0, 10*time.Second))
		if err := s.twin.IdP.RotateKey(); err != nil {
			t.Fatal(err)
		}
		s.twin.IdP.ForgetOldKeys()
		s.token(t, "alice")
	}
}

// F07: with the IdP down, those who are in go on, and the gateway is ready. Who wants in is told.
func TestF07IdPDown(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	token := s.token(t, "alice")
	s.mustSQL(t, token, "select 1")
	s.twin.IdP.Stop()
	for until := time.Now().Add(long(time.Second, 10*time.Minute)); time.Now().Before(until); {
		s.mustSQL(t, token, "select 2")
		if err := s.ready(); err != nil {
			t.Fatal(err)
		}
		next, err := s.refresh(t.Context(), token)
		if err != nil {
			t.Fatalf("refresh while the IdP is down: %v", err)
		}
		token = next
		time.Sleep(long(50*time.Millisecond, time.Second))
	}
	if _, err := s.signIn(t.Context(), "bob"); err == nil {
		t.Error("somebody signed in at an IdP that is down")
	}
	s.twin.IdP.Start()
	s.token(t, "bob")
}

// F07: an IdP that answers with errors, slowly or wrongly keeps people out, and nothing else.
func TestF07IdPMisbehaves(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	token := s.token(t, "alice")
	for name, script := range map[string]idp.Script{
		"its token endpoint fails": {TokenFailures: 100},
		"a wrong nonce":            {WrongNonce: true},
		"a wrong audience":         {WrongAudience: true},
		"an expired ID token":      {ExpiredIDToken: true},
	} {
		s.twin.IdP.SetScript(script)
		// What the person sees is in the error of who plays them.
		if _, err := s.signIn(t.Context(), "bob"); err == nil || !strings.Contains(err.Error(), "again") {
			t.Errorf("%s: %v, want a page that says to try again", name, err)
		}
		s.mustSQL(t, token, "select 1")
	}
	s.twin.IdP.SetScript(idp.Script{})
	s.token(t, "bob")
}

// F17: what is throttled, fails or loses its answer is tried again only where that cannot do
// anything twice.
func TestF17MarkedInsertRunsOnce(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	token := s.token(t, "alice")
	s.mustSQL(t, token, "create table sandbox.marks (mark integer)")
	faults := s.twin.DataAPI.Faults()
	outcomes := map[int]int{}
	done := 0
	for mark := range long(40, 1000) {
		switch mark % 5 {
		case 1:
			faults.Throttle(dataapi.Any, 2)
		case 2:
			faults.DropAnswer("ExecuteStatement", 1)
		case 3:
			faults.Drop("ExecuteStatement", 1)
		case 4:
			faults.Fail("ExecuteStatement", 1)
		}
		got, err := s.sql(t.Context(), token, fmt.Sprintf("insert into sandbox.marks values (%d)", mark))
		if err != nil {
			t.Fatal(err)
		}
		faults.Reset()
		outcomes[got.status]++
		switch got.status {
		case http.StatusOK:
			done++
		case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusBadGateway:
			hygienic(t, "a statement that was not run", got)
		default:
			t.Errorf("mark %d: %d %s", mark, got.status, got.body)
		}
	}
	got := s.mustSQL(t, token, "select count(*), count(distinct mark) from sandbox.marks")
	counted, distinct := got.rows[0][0], got.rows[0][1]
	if counted != distinct || int(counted.(float64)) < done {
		t.Errorf("%v rows, %v marks, %d succeeded (%v): some ran twice, or not at all", counted, distinct, done, outcomes)
	}
	if done == 0 {
		t.Errorf("nothing succeeded: %v", outcomes)
	}
}

// F17: with AWS's STS or the Data API away, statements are refused in time and none is lost to it.
func TestF17AWSDown(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	alice, bob := s.token(t, "alice"), s.token(t, "bob")
	s.mustSQL(t, alice, "select 1")

	s.sts.set(proxyFault{refuse: true})
	s.sts.reset()
	s.mustSQL(t, alice, "select 2") // her credentials are still good
	refused := func(what string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		got, err := s.sql(ctx, bob, "select 3")
		if err != nil || got.status != http.StatusServiceUnavailable && got.status != http.StatusBadGateway {
			t.Errorf("%s: %d %v %s", what, got.status, err, got.body)
			return
		}
		hygienic(t, what, got)
	}
	refused("STS is down")
	s.sts.set(proxyFault{})
	s.eventually(t, "bob's statement runs when STS is back", func() error {
		got, err := s.sql(t.Context(), bob, "select 4")
		if err == nil && got.status != http.StatusOK {
			err = fmt.Errorf("%d %s", got.status, got.body)
		}
		return err
	})

	s.dataAPI.set(proxyFault{refuse: true})
	s.dataAPI.reset()
	refused("the Data API is down")
	s.dataAPI.set(proxyFault{})
	s.mustSQL(t, bob, "select 5")

	// Connections that a device on the way has forgotten are replaced.
	s.dataAPI.reset()
	s.mustSQL(t, bob, "select 6")
}

// F17: credentials that AWS calls expired before their time are replaced once, unseen.
func TestF17CredentialsExpireEarly(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	token := s.token(t, "alice")
	for range long(5, 200) {
		s.mustSQL(t, token, "select 1")
		s.twin.DataAPI.Faults().Expire("ExecuteStatement", 1)
		s.mustSQL(t, token, "select 2")
	}
}

// F17: a half-open connection holds a statement as long as its caller waits, and no other.
func TestF17HalfOpenConnections(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	token := s.token(t, "alice")
	s.mustSQL(t, token, "select 1")
	s.dataAPI.set(proxyFault{hold: true})
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			if got, err := s.sql(ctx, token, "select 2"); err == nil && got.status == http.StatusOK {
				t.Error("a statement was answered over a connection that passes nothing")
			}
		})
	}
	group.Wait()
	s.dataAPI.set(proxyFault{})
	s.dataAPI.reset()
	// All places of the person are free again: more run at once than the three that hung.
	for range 20 {
		group.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if got, err := s.sql(ctx, token, "select 3"); err != nil || got.status != http.StatusOK {
				t.Errorf("after the hang: %d %v %s", got.status, err, got.body)
			}
		})
	}
	group.Wait()
}

// F17: slow answers are waited for.
func TestF17SlowAnswers(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	token := s.token(t, "alice")
	s.dataAPI.set(proxyFault{delay: long(300*time.Millisecond, 3*time.Second)})
	s.sts.set(proxyFault{delay: long(300*time.Millisecond, 3*time.Second)})
	if got := s.mustSQL(t, token, "select current_user"); fmt.Sprint(got.rows) != "[[alice]]" {
		t.Errorf("rows %v", got.rows)
	}
}

// F18: a statement that failed leaves nothing behind that the next one feels.
func TestF18FailedStatementPoisonsNothing(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	token := s.token(t, "alice")
	failing := []string{"select nope", "select 1/0", "select * from finance.nothing", "insert into tickit.category values (1)", "selec 1"}
	for i := range long(25, 1000) {
		got, err := s.sql(t.Context(), token, failing[i%len(failing)])
		if err != nil || got.status < 400 || got.status >= 500 {
			t.Fatalf("%s: %d %v %s", failing[i%len(failing)], got.status, err, got.body)
		}
		if got := s.mustSQL(t, token, fmt.Sprintf("select %d", i)); fmt.Sprint(got.rows) != fmt.Sprintf("[[%d]]", i) {
			t.Fatalf("after %q: %v", failing[i%len(failing)], got.rows)
		}
	}
}

// The label of a record is the name by which Redshift's side knows the statement.
func TestAuditRecordJoinsRedshiftsLog(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	token := s.token(t, "alice")
	got := s.mustSQL(t, token, "select 42 as joined")
	label := fmt.Sprintf(":%s", got.header.Get("X-Request-Id"))
	if record := s.auditText(t); !strings.Contains(record, label+`"`) || !strings.Contains(record, `"label":"sg:`+siteApp+":gra_") {
		t.Errorf("the record does not name the request %s:\n%s", label, record)
	}
}

// A person who has a session at the gateway is not sent to an IdP that is down.
func TestF07SessionAtTheGatewayOutlivesTheIdP(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	alice := person.New("alice", twin.Password)
	authorize := s.oauth().AuthCodeURL("state", oauth2.S256ChallengeOption(oauth2.GenerateVerifier()))
	if _, err := alice.Authorize(t.Context(), authorize, person.Allow); err != nil {
		t.Fatal(err)
	}
	s.twin.IdP.Stop()
	callback, err := alice.Authorize(t.Context(), authorize, person.Allow)
	if err != nil || callback.Query().Get("code") == "" {
		t.Errorf("consent with the IdP down: %v %v\n%s", callback, err, s.log)
	}
}
