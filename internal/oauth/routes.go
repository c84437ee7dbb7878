package oauth

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// Register adds the routes of the tenant to a mux.
func (s *Server) Register(mux *http.ServeMux) {
	get := func(handler http.HandlerFunc) methods {
		return methods{http.MethodGet: handler, http.MethodHead: handler}
	}
	page := func(path string, m methods) { mux.Handle(s.base+path, s.only(m, s.wrongMethodPage)) }
	api := func(path string, m methods) { mux.Handle(path, anyOrigin(m, s.only(m, s.wrongMethod))) }

	authorize := get(s.authorize)
	authorize[http.MethodPost] = s.authorizeByPost
	page("/oauth2/authorize", authorize)
	page("/oauth2/authorize/decision", methods{http.MethodPost: s.decide})
	connections := get(s.connections)
	connections[http.MethodPost] = s.disconnect
	page("/connections", connections)
	page("/{$}", get(s.home))

	if len(s.deviceApps) > 0 {
		device := get(s.enterUserCode)
		device[http.MethodPost] = s.takeUserCode
		page("/device", device)
		page("/device/decision", methods{http.MethodPost: s.decideDevice})
		api(s.base+"/oauth2/device_authorization", methods{http.MethodPost: s.deviceAuthorization})
	}

	api(s.base+"/oauth2/token", methods{http.MethodPost: s.token})
	api(s.base+"/oauth2/revoke", methods{http.MethodPost: s.revoke})
	userinfo := get(s.userinfo)
	userinfo[http.MethodPost] = s.userinfo // OpenID Connect Core §5.3.1
	api(s.base+"/oauth2/userinfo", userinfo)
	api(s.base+"/oauth2/jwks", get(publish(s.issue.JWKS)))

	// RFC 8414 §3.1 and RFC 9728 §3.1 insert the well-known part before the issuer's path, OpenID
	// Connect Discovery §4, and with it AWS, appends it. Clients confuse the two, so both are there.
	server := get(publish(func() []byte { return s.metadata.server }))
	resource := get(publish(func() []byte { return s.metadata.resource }))
	for document, m := range map[string]methods{
		"/.well-known/oauth-authorization-server": server,
		"/.well-known/openid-configuration":       server,
		"/.well-known/oauth-protected-resource":   resource,
	} {
		api(document+s.base, m)
		if s.base != "" {
			api(s.base+document, m)
		}
	}
}

// Handler serves the routes of the tenant alone.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	s.Register(mux)
	return mux
}

type methods map[string]http.HandlerFunc

func (m methods) list() []string { return slices.Sorted(maps.Keys(m)) }

// only lets through the methods that there are.
func (s *Server) only(m methods, wrong func(http.ResponseWriter, *http.Request, []string)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if handler, ok := m[r.Method]; ok {
			handler(w, r)
			return
		}
		wrong(w, r, m.list())
	})
}

func (s *Server) wrongMethodPage(w http.ResponseWriter, r *http.Request, allowed []string) {
	s.pages.MethodNotAllowed(w, r, allowed...)
}

func (s *Server) wrongMethod(w http.ResponseWriter, r *http.Request, allowed []string) {
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	s.writeFault(w, r, &fault{code: "invalid_request", description: "use another method: see the Allow header", status: http.StatusMethodNotAllowed})
}

// anyOrigin lets pages of every origin call an endpoint, without cookies (Fetch §3.2): what
// gives access there is in the request itself. Pages are served without it (AZ-09).
func anyOrigin(m methods, next http.Handler) http.Handler {
	allowed := strings.Join(m.list(), ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Access-Control-Allow-Origin", "*")
		header.Set("Access-Control-Expose-Headers", "WWW-Authenticate, Retry-After, X-Request-Id")
		if r.Method == http.MethodOptions {
			header.Set("Access-Control-Allow-Methods", allowed)
			header.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
			header.Set("Access-Control-Max-Age", "3600")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}
