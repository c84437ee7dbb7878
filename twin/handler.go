package twin

import (
	"bytes"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/shiftgrant/shiftgrant/twin/controlplane"
	"github.com/shiftgrant/shiftgrant/twin/iam"
	"github.com/shiftgrant/shiftgrant/twin/identitystore"
	"github.com/shiftgrant/shiftgrant/twin/kms"
	"github.com/shiftgrant/shiftgrant/twin/secretsmanager"
	"github.com/shiftgrant/shiftgrant/twin/ssoadmin"
)

// handler tells the parts apart: the IdP has a path of its own, and AWS's services share the
// root as they do behind an --endpoint-url, told apart by how they are spoken to.
func (t *Twin) handler(front http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(IdPPath+"/", t.IdP)
	mux.Handle("GET /{$}", front)
	mux.HandleFunc("GET /ca.pem", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-pem-file")
		_, _ = w.Write(t.authority)
	})
	mux.HandleFunc("POST /{$}", func(w http.ResponseWriter, r *http.Request) {
		t.serveAWS(w, r)
	})
	t.OIDC.Register(mux)
	return t.dated(onlyLocalNames(mux))
}

// serveAWS tells the services of the root apart.
func (t *Twin) serveAWS(w http.ResponseWriter, r *http.Request) {
	target := r.Header.Get("X-Amz-Target")
	for prefix, service := range map[string]http.Handler{
		"RedshiftData.": t.DataAPI, controlplane.Target: t.Passwords, kms.Target: t.KMS,
		secretsmanager.Target: t.Secrets, ssoadmin.Target: t.Admin,
		identitystore.Target: t.Directory,
	} {
		if strings.HasPrefix(target, prefix) {
			service.ServeHTTP(w, r)
			return
		}
	}
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if target == "" && media == "application/x-www-form-urlencoded" {
		t.serveQuery(w, r)
		return
	}
	http.Error(w, "The twin plays redshift-data, redshift-serverless, kms, secretsmanager, sso-admin and identitystore (X-Amz-Target), sts, iam and redshift (a form with Action and Version), and sso-oidc (paths of its own).", http.StatusNotFound)
}

// dated has answers carry the twin's time: by it clients find out that clocks differ.
func (t *Twin) dated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", t.clock.Now().UTC().Format(http.TimeFormat))
		next.ServeHTTP(w, r)
	})
}

// maxForm bounds a request of the Query protocol.
const maxForm = 128 << 10

// serveQuery tells the services of the Query protocol apart by the version of their API.
func (t *Twin) serveQuery(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
	if err != nil {
		http.Error(w, "The body is too large.", http.StatusRequestEntityTooLarge)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	form, _ := url.ParseQuery(string(body)) // STS says what is wrong with one that is malformed
	switch form.Get("Version") {
	case controlplane.Version:
		t.Passwords.ServeHTTP(w, r)
	case iam.Version:
		t.IAM.ServeHTTP(w, r)
	default:
		t.STS.ServeHTTP(w, r)
	}
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
