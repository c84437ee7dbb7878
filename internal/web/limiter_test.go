package web

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"
)

func TestLimiterMemoryIsBounded(t *testing.T) {
	t.Parallel()
	l, now := NewLimiter(1, time.Hour), time.Unix(0, 0)
	l.Take(now, "1.2.3.4", "a")
	for i := range 3 * limiterSize {
		l.Take(now, "x", time.Unix(int64(i), 0).String())
		if i%1000 == 0 && l.Full(now, "1.2.3.4", "a") == 0 {
			t.Fatal("a key in use was forgotten")
		}
	}
	if n := len(l.recent) + len(l.older); n > 2*limiterSize {
		t.Errorf("%d keys are remembered", n)
	}
	if l.Full(now, "a", "1.2.3.4") > 0 {
		t.Error("the parts can be exchanged")
	}
}

func TestAddressOfACaller(t *testing.T) {
	t.Parallel()
	proxies := Proxies{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:ffff::/48")}
	for _, c := range []struct{ name, remote, forwarded, want string }{
		{"as it is", "192.0.2.1:1234", "", "192.0.2.1"},
		{"one IPv6 caller is a /64", "[2001:db8:1:2:3:4:5:6]:1", "", "2001:db8:1:2::/64"},
		{"IPv4 in IPv6", "[::ffff:192.0.2.1]:1", "", "192.0.2.1"},
		{"with a zone", "[fe80::1%eth0]:1", "", "fe80::/64"},
		{"no address at all", "@", "", "@"},
		{"a stranger's word is not taken", "192.0.2.1:1", "6.6.6.6", "192.0.2.1"},
		{"a proxy's is", "10.0.0.1:1", "6.6.6.6", "6.6.6.6"},
		{"an IPv6 proxy's, too", "[2001:db8:ffff::1]:1", "6.6.6.6", "6.6.6.6"},
		{"two proxies", "10.0.0.1:1", "6.6.6.6, 10.0.0.2", "6.6.6.6"},
		{"what the caller wrote in front is not", "10.0.0.1:1", "1.1.1.1, 6.6.6.6", "6.6.6.6"},
		{"nor as a proxy of ours", "10.0.0.1:1", "10.0.0.9, 6.6.6.6", "6.6.6.6"},
		{"a proxy that says nothing", "10.0.0.1:1", "", "10.0.0.1"},
		{"a proxy that says nonsense", "10.0.0.1:1", "6.6.6.6, unknown", "10.0.0.1"},
	} {
		r := &http.Request{RemoteAddr: c.remote, Header: http.Header{}}
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-For", c.forwarded)
		}
		if got := proxies.CallerAddress(r); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestAddressIsLimitedUnlessItIsThisMachine(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	handler := LimitAddresses(NewLimiter(3, time.Minute), Proxies(nil).CallerAddress, func() time.Time { return now }, http.NotFoundHandler())
	served := func(remote string) (served int, last http.Header) {
		for range 5 {
			recorder, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = remote
			handler.ServeHTTP(recorder, r)
			if recorder.Code != http.StatusTooManyRequests {
				served++
			}
			last = recorder.Header()
		}
		return served, last
	}
	for remote, want := range map[string]int{"192.0.2.1:1": 3, "192.0.2.2:1": 3, "[2001:db8::1]:1": 3, "127.0.0.1:1": 5, "[::1]:1": 5} {
		if n, last := served(remote); n != want || n < 5 && last.Get("Retry-After") == "" {
			t.Errorf("%s: %d were served, want %d; headers %v", remote, n, want, last)
		}
	}
	if n, _ := served("[2001:db8::2]:1"); n != 0 {
		t.Errorf("an address of the same /64: %d were served", n)
	}
	now = now.Add(time.Minute)
	if n, _ := served("192.0.2.1:1"); n != 3 {
		t.Errorf("a minute later: %d were served", n)
	}
}
