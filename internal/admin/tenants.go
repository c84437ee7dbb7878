package admin

import (
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/web"
)

// Tenants serves each tenant by its own handler: the default one at the root and the others beneath
// /t/NAME, as on the public side.
func Tenants(handlers map[string]http.Handler, logger *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	names := strings.Join(slices.Sorted(maps.Keys(handlers)), ", ")
	missing := web.Log(logger, noTenant(names))
	mux.Handle("/t/", missing)
	if handlers[grant.DefaultTenant] == nil {
		mux.Handle("/", missing)
	}
	for name, handler := range handlers {
		base := tenantPath(name)
		mux.Handle(base+"/", http.StripPrefix(base, handler))
	}
	return mux
}

func tenantPath(name string) string {
	if name == grant.DefaultTenant {
		return ""
	}
	return "/t/" + url.PathEscape(name)
}

func noTenant(names string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		web.WriteProblem(w, r, web.Problem{
			Status: http.StatusNotFound, Title: "The gateway has no such tenant", Detail: fmt.Sprintf("Choose one with --tenant: it has %s.", names),
		})
	})
}

// For is the client for one tenant.
func (c *Client) For(tenant string) *Client {
	return &Client{c.socket, tenantPath(tenant), c.http}
}
