package web

import (
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"time"
)

// LimitAddresses refuses requests of an address that has made too many. Callers on this machine
// are not counted: they are its operator's, or a proxy that hides all others.
func LimitAddresses(limiter *Limiter, address func(*http.Request) string, now func() time.Time, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller := address(r)
		if parsed, err := netip.ParseAddr(caller); err == nil && parsed.IsLoopback() || caller == "::/64" {
			next.ServeHTTP(w, r)
			return
		}
		if wait := limiter.Take(now(), caller); wait > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
			WriteProblem(w, r, Problem{
				Type: "too-many-requests", Status: http.StatusTooManyRequests, Detail: "Your address has made too many requests. Wait as long as Retry-After says.",
			})
			return
		}
		next.ServeHTTP(w, r)
	})
}
