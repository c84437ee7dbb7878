package grant

import "time"

// Running is something that a gateway has open in a warehouse for a person, and that goes on there
// should the gateway die.
type Running struct {
	Tenant    string
	ID        string
	Holder    string // the gateway that has it
	PersonID  string
	Warehouse string
	Kind      RunningKind
	Sealed    []byte // what it takes to stop it
	// AliveUntil is when its holder counts as dead, unless it says otherwise before.
	AliveUntil time.Time
}

// A RunningKind says what it is.
type RunningKind string

// The kinds.
const (
	RunningConnection RunningKind = "connection" // on the wire: whatever statement it runs
	RunningStatement  RunningKind = "statement"  // of the Data API
)
