package twin

import (
	"mime"
	"net"
	"net/http"
	"strings"
)

// handler tells the parts apart: the IdP has a path of its own, and AWS's services share the
// root as they do behind an --endpoint-url, told apart by how they are spoken to.
func (t *Twin) handler(front http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(IdPPath+"/", t.IdP)
	mux.Handle("GET /{$}", front)
	mux.HandleFunc("POST /{$}", func(w http.ResponseWriter, r *http.Request) {
		media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
		switch {
		case strings.HasPrefix(r.Header.Get("X-Amz-Target"), "RedshiftData."):
			t.DataAPI.ServeHTTP(w, r)
		case r.Header.Get("X-Amz-Target") == "" && media == "application/x-www-form-urlencoded":
			t.STS.ServeHTTP(w, r)
		default:
			http.Error(w, "The twin plays redshift-data (X-Amz-Target: RedshiftData.…) and sts (a form with Action).", http.StatusNotFound)
		}
	})
	return onlyLocalNames(mux)
}

// onlyLocalNames refuses requests for another host name: a page from elsewhere whose name was
// made to point at this machine (DNS rebinding) must not reach the twin.
func onlyLocalNames(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		ip := net.ParseIP(strings.Trim(host, "[]"))
		if host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			http.Error(w, "The twin answers to localhost only.", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}
