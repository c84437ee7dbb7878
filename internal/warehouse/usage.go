package warehouse

// Usage is how much there is at the moment of what is bounded.
type Usage struct {
	Running    int // statements, waiting for their turn or in Redshift
	Background int // statements of those that no request waits for
	Sessions   int // kept, in use or for the next request
	People     int // with statements
}

// Plus adds what there is elsewhere.
func (u Usage) Plus(other Usage) Usage {
	return Usage{u.Running + other.Running, u.Background + other.Background, u.Sessions + other.Sessions, u.People + other.People}
}

// Usage counts.
func (w *Warehouses) Usage() Usage {
	var u Usage
	w.slots.mu.Lock()
	u.People = len(w.slots.people)
	for _, own := range w.slots.people {
		u.Running += own.users
	}
	w.slots.mu.Unlock()
	w.watches.mu.Lock()
	u.Background = len(w.watches.running)
	w.watches.mu.Unlock()
	w.pool.mu.Lock()
	u.Sessions = len(w.pool.kept)
	w.pool.mu.Unlock()
	return u
}
