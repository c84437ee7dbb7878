package warehouse

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shiftgrant/shiftgrant/redshift"
)

func submit(t *testing.T, session *Session, key string) string {
	t.Helper()
	id, err := session.Submit(t.Context(), redshift.Statement{SQL: "select 1", IdempotencyKey: key})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestFetchedStatementEndsWithItsRows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, c, j := house(t, nil)
		session := open(t, w, access("ann", read))
		id := submit(t, session, "a")
		if _, err := session.Fetch(t.Context(), id, 0); !errors.Is(err, redshift.ErrRunning) {
			t.Fatalf("%v, want ErrRunning", err)
		}
		time.AfterFunc(time.Second/2, func() { c.end(id, redshift.Finished) })
		rows, err := session.Fetch(t.Context(), id, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if summary := drain(t, rows); summary.RowCount != 3 {
			t.Errorf("%+v", summary)
		}
		if end := j.only(t, StatementEnded); end.Outcome != Succeeded || end.Rows != 3 || end.Duration != time.Second/2 {
			t.Errorf("on record %+v", end)
		}
		again, err := session.Fetch(t.Context(), id, 0)
		if err != nil {
			t.Fatal(err)
		}
		drain(t, again)
		j.only(t, StatementEnded)
		w.Close()
	})
}

func TestStatementThatNobodyAsksForIsWatchedToItsEnd(t *testing.T) {
	t.Parallel()
	for state, want := range map[redshift.State]string{redshift.Finished: Succeeded, redshift.Failed: Failed, redshift.Aborted: Canceled} {
		synctest.Test(t, func(t *testing.T) {
			w, c, j := house(t, func(config *Config) { config.MaxConcurrentPerPerson = 1 })
			session := open(t, w, access("ann", read))
			id := submit(t, session, "a")
			session.Close()
			time.Sleep(time.Minute)
			var busy *redshift.BusyError
			if _, err := open(t, w, access("ann", read)).Query(t.Context(), redshift.Statement{SQL: "select 1"}); !errors.As(err, &busy) {
				t.Errorf("beside a statement in the background: %v, want a BusyError", err)
			}
			c.end(id, state)
			synctest.Wait()
			if end := j.only(t, StatementEnded); end.Outcome != want || end.QueryID != 77 {
				t.Errorf("%s: on record %+v", state, end)
			}
			if len(w.watches.running) != 0 || len(w.slots.people) != 0 {
				t.Errorf("%s: still watched", state)
			}
			w.Close()
		})
	}
}

func TestOneWaitsInRedshiftForAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, c, _ := house(t, nil)
		session := open(t, w, access("ann", read))
		id := submit(t, session, "a")
		results := make(chan error)
		for range 5 {
			go func() {
				rows, err := session.Fetch(t.Context(), id, time.Minute)
				if err == nil {
					rows.Close()
				}
				results <- err
			}()
			go func() {
				execution, err := session.Describe(t.Context(), id, time.Minute)
				if err == nil && execution.State != redshift.Finished {
					err = errors.New("not finished")
				}
				results <- err
			}()
		}
		impatient, err := session.Describe(t.Context(), id, time.Second)
		if err != nil || impatient.State != redshift.Started {
			t.Errorf("who does not wait so long: %+v, %v", impatient, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := session.Fetch(ctx, id, time.Minute); !errors.Is(err, context.Canceled) {
			t.Errorf("who went away: %v", err)
		}
		time.Sleep(10 * time.Second)
		c.mu.Lock()
		if c.crowd > 2 { // one waits; another may look without waiting
			t.Errorf("%d waited at once", c.crowd)
		}
		c.mu.Unlock()
		c.end(id, redshift.Finished)
		for range 10 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		w.Close()
	})
}

func TestBackgroundStatementThatRunsTooLongIsCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, c, j := house(t, func(config *Config) { config.StatementTimeout = time.Minute })
		id := submit(t, open(t, w, access("ann", read)), "a")
		time.Sleep(time.Minute + time.Millisecond)
		synctest.Wait()
		if !slices.Contains(c.seen(), "cancel "+id) {
			t.Errorf("Redshift was not told: %q", c.seen())
		}
		if end := j.only(t, StatementEnded); end.Outcome != TimedOut {
			t.Errorf("on record %+v", end)
		}
		w.Close()
	})
}

func TestRepeatedSubmissionIsOneStatement(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, c, j := house(t, nil)
		session := open(t, w, access("ann", read))
		first, second := submit(t, session, "same"), submit(t, session, "same")
		if first != second {
			t.Fatalf("%s and %s", first, second)
		}
		if end := j.only(t, StatementEnded); end.Outcome != Repeated {
			t.Errorf("on record %+v", end)
		}
		if err := session.Cancel(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if got := len(j.all()); got != 4 || c.outcome[first] != redshift.Aborted {
			t.Errorf("%d records", got)
		}
		w.Close()
	})
}

func TestCloseLeavesStatementsRunning(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, c, _ := house(t, nil)
		id := submit(t, open(t, w, access("ann", read)), "a")
		w.Close()
		if c.outcome[id] != "" {
			t.Error("closing the gateway cancelled a statement in the background")
		}
	})
}

// ours runs its statements in this process.
type ours struct{ *fakeSession }

func (ours) FetchPartition(_ context.Context, _ string, partition int, _ time.Duration) (redshift.Rows, error) {
	return nil, fmt.Errorf("partition %d: %w", partition, redshift.ErrNoPartition)
}

func TestCloseEndsWhatRunsInThisProcess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, c, j := house(t, nil)
		c.ours = true
		id := submit(t, open(t, w, access("ann", read)), "a")
		w.Close()
		if c.outcome[id] != redshift.Aborted {
			t.Error("it runs on, and nobody will ever see its end")
		}
		if end := j.only(t, StatementEnded); end.Outcome != Canceled {
			t.Errorf("on record %+v", end)
		}
	})
}

func TestErrorsOfWhatRunsInThisProcessAreItsEnd(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		TooLarge: &redshift.TooLargeError{Limit: "1 byte"}, Refused: &redshift.AccessError{Err: errors.New("not trusted")}, Lost: errors.New("disk full"),
	} {
		synctest.Test(t, func(t *testing.T) {
			w, c, j := house(t, nil)
			c.ours, c.failure = true, err
			session := open(t, w, access("ann", read))
			id := submit(t, session, "a")
			if _, err := session.FetchPartition(t.Context(), id, 0, 0); !errors.Is(err, redshift.ErrNoPartition) {
				t.Error(err)
			}
			c.end(id, redshift.Failed)
			if _, got := session.Fetch(t.Context(), id, time.Minute); !errors.Is(got, err) {
				t.Errorf("%v, want %v", got, err)
			}
			if end := j.only(t, StatementEnded); end.Outcome != want {
				t.Errorf("on record %+v, want %s", end, want)
			}
			w.Close()
		})
	}
}

func TestLimitsReachATransportThatKeepsResults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, c, _ := house(t, nil)
		limited := access("ann", read)
		limited.Grant.Limits.MaxRows, limited.Grant.Limits.MaxBytes = 100, 5000
		session := open(t, w, limited)
		session.LimitRows(7)
		submit(t, session, "a")
		if ran := c.ran[0]; ran.MaxRows != 7 || ran.MaxBytes != 5000 {
			t.Errorf("%+v", ran)
		}
		w.Close()
	})
}

func TestTransportThatCannotDetach(t *testing.T) {
	t.Parallel()
	w, c, _ := house(t, nil)
	c.attached = true
	session := open(t, w, access("ann", read))
	_, submitted := session.Submit(t.Context(), redshift.Statement{SQL: "select 1"})
	_, fetched := session.Fetch(t.Context(), "x", 0)
	_, described := session.Describe(t.Context(), "x", 0)
	for _, err := range []error{submitted, fetched, described, session.Cancel(t.Context(), "x")} {
		if !errors.Is(err, ErrNotDetached) {
			t.Errorf("%v, want ErrNotDetached", err)
		}
	}
}

func TestStatementOfAnotherProcess(t *testing.T) {
	t.Parallel()
	w, _, _ := house(t, nil)
	session := open(t, w, access("ann", read))
	if _, err := session.Fetch(t.Context(), "unknown", 0); !errors.Is(err, redshift.ErrNotFound) {
		t.Errorf("Fetch: %v", err)
	}
	if _, err := session.Describe(t.Context(), "unknown", 0); !errors.Is(err, redshift.ErrNotFound) {
		t.Errorf("Describe: %v", err)
	}
}
