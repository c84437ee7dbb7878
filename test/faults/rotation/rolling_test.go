package rotation

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// leave takes a gateway out of the balancer's list, as its readiness would, and tells it to stop a
// moment later.
func (g *gateway) leave() {
	g.mu.Lock()
	command, ended := g.command, g.ended
	g.address = ""
	g.mu.Unlock()
	time.Sleep(200 * time.Millisecond)
	_ = command.Process.Signal(syscall.SIGTERM)
	<-ended
}

// F19: two gateways on one database are restarted one after the other under a hundred requests a
// second, and no request fails.
func TestF19RollingRestartFailsNobody(t *testing.T) {
	c := startCluster(t, clusterOptions{gateways: 2, postgres: true})
	apps := []*app{c.connect(), c.connect(), c.connect(), c.connect()}
	stop := make(chan struct{})
	var asked atomic.Int64
	var group sync.WaitGroup
	for _, a := range apps {
		group.Go(func() {
			every := time.NewTicker(40 * time.Millisecond)
			defer every.Stop()
			for turn := 0; ; turn++ {
				select {
				case <-stop:
					return
				case <-every.C:
				}
				if err := a.use(t, turn); err != nil {
					t.Errorf("request %d: %v", turn, err)
					return
				}
				asked.Add(1)
			}
		})
	}
	for range long(2, 5) {
		for _, g := range c.gateways {
			g.leave()
			if err := g.start(); err != nil {
				t.Fatal(err)
			}
		}
	}
	close(stop)
	group.Wait()
	if asked.Load() < 50 {
		t.Errorf("%d requests are no load", asked.Load())
	}
	for _, a := range apps {
		a.mustWork(t)
	}
}

// use refreshes now and then, and otherwise asks something.
func (a *app) use(t *testing.T, turn int) error {
	if turn%4 == 0 {
		return a.once(t.Context())
	}
	access, _ := a.tokens()
	status, err := a.check(t.Context(), access)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("status %d", status)
	}
	return err
}
