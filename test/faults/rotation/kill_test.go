package rotation

import (
	"bytes"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"
)

// Where a gateway dies on the way of one refresh.
const (
	beforeCommit = iota // the request is in, the database has not heard of it
	afterCommit         // it is committed, and no byte of the answer is out
	midAnswer           // a part of the answer is out
	crashPoints
)

var crashNames = [crashPoints]string{"before the commit", "after the commit", "in the middle of the answer"}

// F02 and T07: two gateways on one PostgreSQL, and a crash at an exact point of a rotation. The
// app, which has two tabs open, asks again and ends with the one live token.
func TestF02KilledAtAnExactPointOnPostgreSQL(t *testing.T) {
	c := startCluster(t, clusterOptions{gateways: 2, postgres: true})
	a := c.connect()
	reached := [crashPoints]int{}
	for round := range long(15, 500) {
		point := round % crashPoints
		_, before := a.tokens()
		generation := a.generation(t, before)
		var once sync.Once
		crash := func() {
			once.Do(func() {
				c.killAll()
				reached[point]++
			})
		}
		c.crashAt(point, crash)
		// Two tabs that refresh at once; what they get is said later.
		var tabs sync.WaitGroup
		for range 2 {
			tabs.Go(func() { _ = a.once(t.Context()) })
		}
		tabs.Wait()
		c.link.watch(nil, nil)
		c.front.watch(nil, nil)
		committed := a.generation(t, before) > generation
		if _, now := a.tokens(); now == before && committed != (point != beforeCommit) {
			t.Errorf("round %d, killed %s: committed is %v", round, crashNames[point], committed)
		}
		c.restart()
		if err := a.persist(t.Context()); err != nil {
			t.Fatalf("round %d, killed %s: %v", round, crashNames[point], err)
		}
		a.mustWork(t)
	}
	for point, count := range reached {
		if count < long(15, 500)/crashPoints {
			t.Errorf("only %d times killed %s", count, crashNames[point])
		}
	}
	a.theftIsNoticed(t)
}

// crashAt steers the proxies to a crash point.
func (c *cluster) crashAt(point int, crash func()) {
	rotates := []byte("UPDATE families")
	switch point {
	case beforeCommit:
		c.link.watch(func(_ *carried, piece []byte) []byte {
			if bytes.Contains(piece, rotates) {
				crash()
				return nil
			}
			return piece
		}, nil)
	case afterCommit:
		c.link.watch(func(connection *carried, piece []byte) []byte {
			if bytes.Contains(piece, rotates) {
				connection.mark()
			}
			return piece
		}, func(connection *carried, piece []byte) []byte {
			// The statement is its own transaction: ReadyForQuery comes after the commit.
			if connection.isMarked() && bytes.HasSuffix(piece, []byte{'Z', 0, 0, 0, 5, 'I'}) {
				crash()
				return nil
			}
			return piece
		})
	case midAnswer:
		c.front.watch(nil, cutAnswer(crash))
	}
}

// cutAnswer lets a part of the answer through, and no more.
func cutAnswer(crash func()) func(*carried, []byte) []byte {
	return func(_ *carried, piece []byte) []byte {
		if !bytes.Contains(piece, []byte("refresh_token")) {
			return piece
		}
		crash()
		return piece[:rand.IntN(len(piece)-1)]
	}
}

// F02 on SQLite, and the process dies as it does in a power cut, under load: four apps refresh, and
// it dies at a time between the first request and the last answer that is different each round.
func TestF02KilledUnderLoadOnSQLite(t *testing.T) {
	c := startCluster(t, clusterOptions{})
	apps := []*app{c.connect(), c.connect(), c.connect(), c.connect()}
	var lost, kept int
	for round := range long(15, 500) {
		generations := make([]int64, len(apps))
		presented := make([]string, len(apps))
		for i, a := range apps {
			_, presented[i] = a.tokens()
			generations[i] = a.generation(t, presented[i])
		}
		var once sync.Once
		crash := func() { once.Do(c.killAll) }
		switch round % crashPoints {
		case midAnswer:
			c.front.watch(nil, cutAnswer(crash))
		default:
			// A rotation takes a few milliseconds, most of them in the commit.
			delay := time.Duration(rand.Int64N(int64(6 * time.Millisecond)))
			c.front.watch(func(_ *carried, piece []byte) []byte {
				go func() {
					time.Sleep(delay)
					crash()
				}()
				return piece
			}, nil)
		}
		var group sync.WaitGroup
		for _, a := range apps {
			group.Go(func() { _ = a.once(t.Context()) })
		}
		group.Wait()
		c.front.watch(nil, nil)
		crash()
		for i, a := range apps {
			_, now := a.tokens()
			committed := a.generation(t, presented[i]) > generations[i]
			switch {
			case now != presented[i] && !committed:
				t.Fatalf("round %d: an answer was given for a rotation that is lost", round)
			case now == presented[i] && committed:
				lost++
			case !committed:
				kept++
			}
		}
		c.restart()
		for _, a := range apps {
			if err := a.persist(t.Context()); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			a.mustWork(t)
		}
	}
	t.Logf("%d rotations died before their commit, %d answers were lost after it", kept, lost)
	if kept == 0 || lost == 0 {
		t.Errorf("killed %d times before a commit and %d times between commit and answer: both must have happened", kept, lost)
	}
	var verdict string
	c.query(t, `PRAGMA integrity_check`, nil, &verdict)
	if verdict != "ok" {
		t.Errorf("the database: %s", verdict)
	}
	for _, a := range apps {
		a.theftIsNoticed(t)
	}
}

// theftIsNoticed lets a thief go on from a token that the app has, and ends the connection at the
// first step in which the two differ (T06).
func (a *app) theftIsNoticed(t *testing.T) {
	t.Helper()
	_, stolen := a.tokens()
	for range 2 {
		if err := a.persist(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	got, err := a.present(t.Context(), stolen)
	if err != nil || got.status != http.StatusBadRequest || got.Error != "invalid_grant" {
		t.Errorf("a token that was used two generations ago: %+v, %v; want invalid_grant", got, err)
	}
	access, newest := a.tokens()
	got, err = a.present(t.Context(), newest)
	if err != nil || got.Error != "invalid_grant" {
		t.Errorf("the app after the theft: %+v, %v; want invalid_grant, for there is no telling who is who", got, err)
	}
	deadline := time.Now().Add(2 * time.Second) // on every gateway
	for range 4 {
		for status := http.StatusOK; status == http.StatusOK; {
			if status, err = a.check(t.Context(), access); err != nil || time.Now().After(deadline) {
				t.Fatalf("the access token after the theft: %d, %v; want 401", status, err)
			}
		}
	}
}
