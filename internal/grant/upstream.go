package grant

import "time"

// An UpstreamToken is what a person's identity provider gave us to ask about them again: a
// refresh token, sealed. Asking uses it up, so one gateway asks for all: the one whose fence
// is the newest.
type UpstreamToken struct {
	Tenant     string
	PersonID   string
	Upstream   string // its name in the configuration
	Generation int64  // of the token: up by one with each that the upstream gives
	Sealed     []byte // for tenant, person, upstream and generation
	KeyVersion int64  // of the key that sealed it

	CheckedAt    time.Time // when the upstream last vouched for the person
	FailingSince time.Time // the first of the calls since then that came to nothing; zero for none
	RetryAt      time.Time // nobody asks before

	// Fence goes up with each lease and each sign-in. A write with an older one is refused.
	Fence      int64
	Holder     string // of the lease, for people to read
	LeaseUntil time.Time
	// AttemptAt is when a call with this token began of which nobody has written how it ended.
	AttemptAt time.Time
	EndedAt   time.Time // the upstream has said no
}
