package oauth

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/pages"
	"github.com/shiftgrant/shiftgrant/internal/signin"
)

// connectionsTime is how long the buttons of a page that is left open work.
const connectionsTime = 12 * time.Hour

// A connection is what a person sees as one: an app on a warehouse. Each sign-in at the app
// makes a grant of its own beneath it.
type connection struct {
	AppID     string
	Warehouse string
	Expires   time.Time
}

// home is the front page.
func (s *Server) home(w http.ResponseWriter, r *http.Request) {
	current, err := s.whoIsSignedIn(r)
	if err != nil {
		s.unavailable(w, r, "find out who is signed in", err)
		return
	}
	page := pages.Home{
		SignIn: s.base + "/connections", Connections: s.base + "/connections",
		MetadataURL: s.origin() + "/.well-known/oauth-authorization-server" + s.base,
	}
	for _, name := range s.warehouseNames {
		page.Warehouses = append(page.Warehouses, s.warehouses[name])
	}
	if current != nil {
		viewer := s.viewer(current, s.base+"/")
		page.Viewer = &viewer
		connected, err := s.connectionsOf(r.Context(), current.Person.ID)
		if err != nil {
			s.unavailable(w, r, "list connected apps", err)
			return
		}
		page.Connected = len(connected)
	}
	s.pages.Home(w, r, page)
}

func (s *Server) viewer(current *signin.Current, returnTo string) pages.Viewer {
	return pages.Viewer{Person: current.Person, SignOut: s.signIn.SignOutForm(current, returnTo)}
}

// connections lists what the person has allowed.
func (s *Server) connections(w http.ResponseWriter, r *http.Request) {
	current, err := s.whoIsSignedIn(r)
	switch {
	case err != nil:
		s.unavailable(w, r, "find out who is signed in", err)
	case current == nil:
		s.signIn.Begin(w, r, s.base+"/connections")
	default:
		s.showConnections(w, r, current, "")
	}
}

func (s *Server) showConnections(w http.ResponseWriter, r *http.Request, current *signin.Current, notice string) {
	grants, err := s.connectionsOf(r.Context(), current.Person.ID)
	if err != nil {
		s.unavailable(w, r, "list connected apps", err)
		return
	}
	page := pages.Connections{Viewer: s.viewer(current, s.base+"/"), Notice: notice}
	for _, g := range grants {
		shown, err := s.showConnection(r.Context(), current, g)
		if errors.Is(err, grant.ErrNotFound) {
			continue // removed since: its grants are revoked
		}
		if err != nil {
			s.unavailable(w, r, "show connected app", err)
			return
		}
		page.Apps = append(page.Apps, shown)
	}
	s.pages.Connections(w, r, page)
}

// connectionsOf gives one grant for each app and warehouse, the newest, with the scopes of all
// and the latest end.
func (s *Server) connectionsOf(ctx context.Context, personID string) ([]grant.Grant, error) {
	grants, err := s.store.Grants(ctx, s.tenant, personID)
	if err != nil {
		return nil, err
	}
	var shown []grant.Grant
	for _, g := range grants {
		if g.Alive(s.now()) != nil {
			continue
		}
		i := slices.IndexFunc(shown, func(other grant.Grant) bool { return other.AppID == g.AppID && other.Warehouse == g.Warehouse })
		if i < 0 {
			shown = append(shown, g)
			continue
		}
		shown[i] = together(shown[i], g)
	}
	return shown, nil
}

// together is what two grants of one app on one warehouse amount to.
func together(newer, older grant.Grant) grant.Grant {
	both := newer
	both.Scopes = slices.Clone(newer.Scopes)
	for _, scope := range older.Scopes {
		if !both.Scopes.Has(scope) {
			both.Scopes = append(both.Scopes, scope)
		}
	}
	both.Limits.ReadOnly = newer.Limits.ReadOnly && older.Limits.ReadOnly
	if older.CreatedAt.Before(both.CreatedAt) {
		both.CreatedAt = older.CreatedAt
	}
	if older.ExpiresAt.After(both.ExpiresAt) {
		both.ExpiresAt = older.ExpiresAt
	}
	return both
}

func (s *Server) showConnection(ctx context.Context, current *signin.Current, g grant.Grant) (pages.Connection, error) {
	app, err := s.store.App(ctx, s.tenant, g.AppID)
	if err != nil {
		return pages.Connection{}, err
	}
	sealed, err := s.sealForm(current, "disconnect", connection{g.AppID, g.Warehouse, s.now().Add(connectionsTime)})
	if err != nil {
		return pages.Connection{}, err
	}
	warehouse, ok := s.warehouses[g.Warehouse]
	if !ok {
		warehouse = pages.Warehouse{Name: g.Warehouse} // not configured any more
	}
	return pages.Connection{
		App: app, Grant: g, Warehouse: warehouse,
		Disconnect: pages.Form{Action: s.base + "/connections", Hidden: []pages.Field{{Name: sealedField, Value: sealed}}},
	}, nil
}

// disconnect ends all that the person has allowed an app on a warehouse.
func (s *Server) disconnect(w http.ResponseWriter, r *http.Request) {
	form, current, ok := s.readAnswer(w, r)
	if !ok {
		return
	}
	var chosen connection
	if current == nil || s.openForm(current, "disconnect", form.get(sealedField), &chosen) != nil || !s.now().Before(chosen.Expires) {
		s.pages.Error(w, r, http.StatusBadRequest, pages.Error{
			Title:  "Nothing was disconnected",
			What:   "The page was open for too long, or you have signed in as somebody else since.",
			Do:     "Open your connected apps again.",
			Action: &pages.Action{Label: "Connected apps", URL: s.base + "/connections"},
		})
		return
	}
	live, err := s.liveGrants(r.Context(), current.Person.ID, chosen.AppID, chosen.Warehouse)
	if err != nil {
		s.unavailable(w, r, "list grants", err)
		return
	}
	for _, g := range live {
		if err := s.endGrant(r.Context(), g, "by you"); err != nil {
			s.unavailable(w, r, "disconnect", err)
			return
		}
	}
	s.showConnections(w, r, current, "The app is disconnected. Its access has ended.")
}
