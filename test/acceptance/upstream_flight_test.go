package acceptance

import (
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/shiftgrant/shiftgrant/twin/person"
)

// T08. Two gateways on one database ask an IdP about a person once each time that it is due,
// however many refresh at that moment. (F03, `make test-faults`, does it with four processes.)
func upstreamSingleFlight(a *attempt) {
	u := newUpstream(a)
	listener := listen(a)
	dsn := a.world.newDatabase(a)
	var pair [2]*gateway
	for i := range pair {
		pair[i] = a.world.startGateway(a, gatewayOptions{issuer: urlOf(listener), dsn: dsn, upstreams: u.yaml("own")})
	}
	front := startTunnel(listener, func() (net.Conn, error) { return net.Dial("tcp", strings.TrimPrefix(pair[0].address(), "http://")) })
	a.Cleanup(front.close)
	g := &target{url: urlOf(listener), scope: a.scope, phone: a.phone, people: map[string]*person.Person{}, secrets: map[string]string{}, world: a.world}
	const apps = 12
	held := make([]string, apps)
	for i := range held {
		held[i] = g.connect(a, "alice", a.phone, a.scope).Refresh
	}
	for expiry := range long(3, 20) {
		time.Sleep(1100 * time.Millisecond) // the IdP's last word is older than check_every by then
		before := u.count("refresh")
		var group sync.WaitGroup
		replies, errs := make([]reply, 2*apps), make([]error, 2*apps)
		for i := range replies {
			group.Go(func() {
				replies[i], errs[i] = g.send(a.Context(), http.MethodPost, pair[i%2].address()+"/oauth2/token", formHeader, a.phone.refresh(held[i/2]).Encode())
			})
		}
		group.Wait()
		for i, got := range replies {
			a.check(errs[i] == nil && got.status == http.StatusOK && got.Access != "", "expiry %d: a refresh: %s, %v", expiry, got, errs[i])
			held[i/2] = got.Refresh
		}
		a.check(u.count("refresh")-before == 1, "expiry %d: the IdP was asked %d times", expiry, u.count("refresh")-before)
	}
}
