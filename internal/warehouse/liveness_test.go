package warehouse

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/redshift"
)

// register is a store of grants that can be revoked, and that can be down.
type register struct {
	mu      sync.Mutex
	revoked map[string]bool
	err     error
	asked   [][]grant.Claim
}

func (r *register) Ended(_ context.Context, claims []grant.Claim) ([]grant.Claim, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, claims)
	if r.err != nil {
		return nil, r.err
	}
	return slices.DeleteFunc(slices.Clone(claims), func(c grant.Claim) bool { return !r.revoked[c.GrantID] }), nil
}

func (r *register) revoke(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.revoked[id] = true
}

func (r *register) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

func (r *register) questions() [][]grant.Claim {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.asked)
}

// watchedHouse is a house whose grants can be revoked.
func watchedHouse(t *testing.T, change func(*Config)) (*Warehouses, *cluster, *journal, *register) {
	t.Helper()
	grants := &register{revoked: map[string]bool{}}
	w, c, j := house(t, func(config *Config) {
		config.Grants = grants
		if change != nil {
			change(config)
		}
	})
	return w, c, j, grants
}

// fresh is an access that was found good just now, of a grant of its own.
func fresh(id string) *grant.Access {
	a := access("ann", read)
	a.Grant.ID, a.CheckedAt = id, time.Now()
	return a
}

func TestRunningStatementIsCancelledWhenItsGrantEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, c, j, grants := watchedHouse(t, nil)
		session := open(t, w, fresh("gra_1"))
		time.AfterFunc(10*time.Second, func() { grants.revoke("gra_1") })
		started := time.Now()
		_, err := session.Query(t.Context(), redshift.Statement{SQL: "select hang"})
		if !errors.Is(err, ErrRevoked) {
			t.Errorf("error %v, want ErrRevoked", err)
		}
		if took := time.Since(started) - 10*time.Second; took > 5*time.Second {
			t.Errorf("cancelled %s after the revocation", took)
		}
		if !slices.Contains(c.seen(), "cancel select hang") {
			t.Errorf("events %q, want the cancellation", c.seen())
		}
		if end := j.only(t, StatementEnded); end.Outcome != Revoked {
			t.Errorf("on record %+v", end)
		}
		w.Close()
	})
}

func TestRowsOfARevokedGrantEndWithAnError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, _, j, grants := watchedHouse(t, nil)
		rows, err := open(t, w, fresh("gra_1")).Query(t.Context(), redshift.Statement{SQL: "select 1"})
		if err != nil {
			t.Fatal(err)
		}
		if !rows.Next() {
			t.Fatal("no first row")
		}
		grants.revoke("gra_1")
		time.Sleep(2 * time.Second)
		if rows.Next() || !errors.Is(rows.Err(), ErrRevoked) {
			t.Errorf("after the revocation: error %v, want ErrRevoked", rows.Err())
		}
		if err := rows.Close(); err != nil {
			t.Error(err)
		}
		if !errors.Is(rows.Err(), ErrRevoked) {
			t.Errorf("closed: error %v, want ErrRevoked", rows.Err())
		}
		if end := j.only(t, StatementEnded); end.Outcome != Revoked {
			t.Errorf("on record %+v", end)
		}
		w.Close()
	})
}

func TestStatementInTheBackgroundIsCancelledWhenItsGrantEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, c, j, grants := watchedHouse(t, nil)
		session := open(t, w, fresh("gra_1"))
		id := submit(t, session, "a")
		session.Close()
		time.Sleep(time.Minute)
		grants.revoke("gra_1")
		time.Sleep(5 * time.Second)
		if !slices.Contains(c.seen(), "cancel "+id) {
			t.Errorf("events %q, want the cancellation", c.seen())
		}
		if end := j.only(t, StatementEnded); end.Outcome != Revoked {
			t.Errorf("on record %+v", end)
		}
		w.Close()
	})
}

func TestResultThatIsFetchedEndsWithItsGrant(t *testing.T) {
	t.Parallel()
	for name, watched := range map[string]bool{"for the first time": true, "once more": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, c, _, grants := watchedHouse(t, nil)
				session := open(t, w, fresh("gra_1"))
				id := submit(t, session, "a")
				c.end(id, redshift.Finished)
				if !watched {
					time.Sleep(time.Minute) // the watch sees the end
				}
				rows, err := session.Fetch(t.Context(), id, 0)
				if err != nil {
					t.Fatal(err)
				}
				grants.revoke("gra_1")
				time.Sleep(2 * time.Second)
				if rows.Next() || !errors.Is(rows.Err(), ErrRevoked) {
					t.Errorf("error %v, want ErrRevoked", rows.Err())
				}
				rows.Close()
				if len(w.overseer.guards) != 0 {
					t.Errorf("%d guards are left", len(w.overseer.guards))
				}
				w.Close()
			})
		})
	}
}

func TestOneQuestionIsAskedForAllThatRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, _, _, grants := watchedHouse(t, nil)
		for _, id := range []string{"gra_1", "gra_1", "gra_2"} {
			go func() { _, _ = open(t, w, fresh(id)).Query(t.Context(), redshift.Statement{SQL: "select hang"}) }()
		}
		time.Sleep(3*time.Second + time.Second/2)
		asked := grants.questions()
		if len(asked) != 3 {
			t.Errorf("%d questions in three seconds: %v", len(asked), asked)
		}
		for _, claims := range asked {
			if len(claims) != 2 {
				t.Errorf("asked about %v, want each grant once", claims)
			}
		}
		grants.revoke("gra_1")
		grants.revoke("gra_2")
		time.Sleep(time.Minute)
		if late := len(grants.questions()) - len(asked); late > 2 {
			t.Errorf("%d questions when nothing runs", late)
		}
		w.Close()
	})
}

func TestNothingBeginsOnAnAccessThatIsOld(t *testing.T) {
	t.Parallel()
	down := errors.New("database is gone")
	for name, test := range map[string]struct {
		age     time.Duration
		revoked bool
		down    error
		want    error
	}{
		"just found good":          {age: time.Second - 1, revoked: true},
		"found good a second ago":  {age: time.Second},
		"revoked since":            {age: time.Second, revoked: true, want: ErrRevoked},
		"found good in the future": {age: -time.Minute, revoked: true, want: ErrRevoked},
		"the store cannot tell":    {age: time.Second, down: down, want: ErrLiveness},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, c, j, grants := watchedHouse(t, nil)
				if test.revoked {
					grants.revoke("gra_1")
				}
				grants.fail(test.down)
				a := fresh("gra_1")
				a.CheckedAt = time.Now().Add(-test.age)
				rows, err := open(t, w, a).Query(t.Context(), redshift.Statement{SQL: "select 1"})
				if !errors.Is(err, test.want) {
					t.Errorf("error %v, want %v", err, test.want)
				}
				if err == nil {
					drain(t, rows)
				} else if len(j.all()) != 0 || slices.Contains(c.seen(), "query select 1") || len(w.slots.people) != 0 {
					t.Errorf("something began: %q", c.seen())
				}
				w.Close()
			})
		})
	}
}

func TestStatementGoesOnWhileTheStoreIsDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, _, _, grants := watchedHouse(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		session := open(t, w, fresh("gra_1"))
		go func() {
			_, err := session.Query(ctx, redshift.Statement{SQL: "select hang"})
			ended <- err
		}()
		grants.fail(errors.New("database is gone"))
		time.Sleep(time.Minute)
		select {
		case err := <-ended:
			t.Fatalf("ended with %v", err)
		default:
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want what the caller did", err)
		}
		w.Close()
	})
}

func TestStatementThatWaitsForItsTurnLearnsOfTheRevocation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, _, j, grants := watchedHouse(t, func(config *Config) { config.MaxConcurrentPerPerson, config.QueueWait = 1, time.Minute })
		go func() { _, _ = open(t, w, fresh("gra_1")).Query(t.Context(), redshift.Statement{SQL: "select hang"}) }()
		synctest.Wait()
		time.AfterFunc(5*time.Second, func() { grants.revoke("gra_2") })
		started := time.Now()
		_, err := open(t, w, fresh("gra_2")).Query(t.Context(), redshift.Statement{SQL: "select 1"})
		if !errors.Is(err, ErrRevoked) || time.Since(started) > 7*time.Second {
			t.Errorf("after %s: %v, want ErrRevoked soon after the revocation", time.Since(started), err)
		}
		if records := j.all(); len(records) != 1 {
			t.Errorf("on record %+v, want the running statement only", records)
		}
		grants.revoke("gra_1")
		time.Sleep(2 * time.Second)
		w.Close()
	})
}
