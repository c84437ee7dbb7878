package store_test

import (
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/store"
)

func TestWhatADeadGatewayLeftIsClaimedByOne(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		row := func(id, holder string) grant.Running {
			return grant.Running{
				Tenant: tenant, ID: id, Holder: holder, PersonID: "per_alice", Warehouse: "w", Kind: grant.RunningConnection,
				Sealed: []byte{1, 2}, AliveUntil: start.Add(time.Second),
			}
		}
		for _, r := range []grant.Running{row("run_1", "dies"), row("run_2", "dies"), row("run_3", "lives")} {
			check(t, "add", s.AddRunning(ctx, r), nil)
		}
		check(t, "say that one lives", s.KeepRunning(ctx, tenant, "lives", start.Add(time.Hour)), nil)
		early, err := s.ClaimRunning(ctx, tenant, "heir", start, start.Add(time.Minute), 10)
		check(t, "claim early", err, nil)
		same(t, "claimed early", len(early), 0)
		later := start.Add(2 * time.Second)
		claimed, err := s.ClaimRunning(ctx, tenant, "heir", later, later.Add(time.Minute), 10)
		check(t, "claim", err, nil)
		want := row("run_1", "heir")
		want.AliveUntil = later.Add(time.Minute)
		if len(claimed) != 2 {
			t.Fatalf("claimed %d, want 2", len(claimed))
		}
		if claimed[0].ID != want.ID {
			claimed[0], claimed[1] = claimed[1], claimed[0]
		}
		same(t, "claimed", claimed[0], want)
		none, err := s.ClaimRunning(ctx, tenant, "other", later, later.Add(time.Minute), 10)
		check(t, "claim after another", err, nil)
		same(t, "claimed after another", len(none), 0)
		for _, id := range []string{"run_1", "run_2", "run_3", "run_none"} {
			check(t, "remove", s.RemoveRunning(ctx, tenant, id), nil)
		}
		left, err := s.ClaimRunning(ctx, tenant, "heir", start.Add(24*time.Hour), start, 10)
		check(t, "claim what is forgotten", err, nil)
		same(t, "claimed after all was forgotten", len(left), 0)
	})
}
