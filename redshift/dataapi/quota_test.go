package dataapi

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shiftgrant/shiftgrant/redshift"
)

func TestCallsKeepWithinTheRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		share := NewQuotas(nil, nil).Share("1", "us-east-1", "ann")
		started := time.Now()
		var group sync.WaitGroup
		for range 90 { // 30 at once, and 60 more in two seconds
			group.Go(func() {
				if err := share.wait(t.Context(), executeStatement, time.Minute); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if took := time.Since(started); took < 2*time.Second || took > 2200*time.Millisecond {
			t.Errorf("90 calls took %s", took)
		}
	})
}

func TestCallersTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		quotas := NewQuotas(map[string]float64{"ExecuteStatement": 10}, nil)
		ann, bob := quotas.Share("1", "us-east-1", "ann"), quotas.Share("1", "us-east-1", "bob")
		var group sync.WaitGroup
		for range 110 {
			group.Go(func() {
				if err := ann.wait(t.Context(), executeStatement, time.Minute); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		for range 3 {
			started := time.Now()
			if err := bob.wait(t.Context(), executeStatement, time.Minute); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(started); took > 250*time.Millisecond {
				t.Errorf("who wants one call waited %s behind somebody with a hundred", took)
			}
		}
		group.Wait()
	})
}

func TestQuotasAreOfAnAccountARegionAndAnOperation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		quotas := NewQuotas(map[string]float64{"ExecuteStatement": 1, "GetStatementResult": 1}, nil)
		for _, share := range []*Share{quotas.Share("1", "us-east-1", "ann"), quotas.Share("2", "us-east-1", "ann"), quotas.Share("1", "eu-west-1", "ann")} {
			if err := share.wait(t.Context(), executeStatement, 0); err != nil {
				t.Error(err)
			}
		}
		share := quotas.Share("1", "us-east-1", "bob")
		if err := share.wait(t.Context(), getStatementResultV2, 0); err != nil {
			t.Error(err)
		}
		var busy *redshift.BusyError
		for _, op := range []operation{executeStatement, getStatementResult} {
			if err := share.wait(t.Context(), op, time.Second/2); !errors.As(err, &busy) || busy.RetryAfter < time.Second {
				t.Errorf("%s: %v, want a BusyError at once", op, err)
			}
		}
	})
}

func TestWhoCannotBeServedInTimeIsToldAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		share := NewQuotas(map[string]float64{"ExecuteStatement": 1}, nil).Share("1", "us-east-1", "ann")
		ctx, leave := context.WithCancel(t.Context())
		var group sync.WaitGroup
		for range 6 {
			group.Go(func() { _ = share.wait(ctx, executeStatement, time.Minute) })
		}
		synctest.Wait()
		started := time.Now()
		var busy *redshift.BusyError
		if err := share.wait(t.Context(), executeStatement, 3*time.Second); !errors.As(err, &busy) || busy.RetryAfter != 5*time.Second || !started.Equal(time.Now()) {
			t.Errorf("%v after %s", err, time.Since(started))
		}
		leave() // those who go away leave their place
		group.Wait()
		if err := share.wait(t.Context(), executeStatement, 3*time.Second); err != nil {
			t.Error(err)
		}
	})
}

func TestARefusalOfAWSEmptiesTheBucket(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		share := NewQuotas(map[string]float64{"ExecuteStatement": 2}, nil).Share("1", "us-east-1", "ann")
		share.refused(executeStatement)
		started := time.Now()
		if err := share.wait(t.Context(), executeStatement, time.Minute); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(started); took < 500*time.Millisecond {
			t.Errorf("the next call is made %s after one that was too many", took)
		}
	})
}

func TestASessionWaitsForItsShare(t *testing.T) {
	t.Parallel()
	var none *Share
	if err := none.wait(t.Context(), executeStatement, 0); err != nil {
		t.Error(err)
	}
	none.refused(executeStatement)
	share := NewQuotas(map[string]float64{"ExecuteStatement": 1, "CancelStatement": 0}, nil).Share("1", "us-east-1", "ann")
	if err := share.wait(t.Context(), cancelStatement, 0); err != nil {
		t.Errorf("an operation whose rate is not known: %v", err)
	}
}
