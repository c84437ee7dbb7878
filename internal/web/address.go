package web

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Proxies are the networks of the proxies in front, whose word on where a request came from is
// taken. Nobody else's is: X-Forwarded-For is whatever a caller writes.
type Proxies []netip.Prefix

// CallerAddress is where a request came from, for telling callers apart and nothing else: one
// IPv6 caller usually has a whole /64, so that is the answer.
func (p Proxies) CallerAddress(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	address = p.behind(address.WithZone("").Unmap(), r.Header.Values("X-Forwarded-For"))
	if address.Is4() {
		return address.String()
	}
	prefix, err := address.Prefix(64)
	if err != nil {
		return address.String()
	}
	return prefix.String()
}

// behind goes from the connection backwards as long as it is proxies of ours who speak. Each
// proxy appends whom it heard from.
func (p Proxies) behind(address netip.Addr, forwarded []string) netip.Addr {
	hops := strings.Split(strings.Join(forwarded, ","), ",")
	for i := len(hops) - 1; i >= 0 && p.contain(address); i-- {
		before, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		address = before.WithZone("").Unmap()
	}
	return address
}

func (p Proxies) contain(address netip.Addr) bool {
	for _, network := range p {
		if network.Contains(address) {
			return true
		}
	}
	return false
}
