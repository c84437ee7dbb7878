package pages

import "net/http"

// Home is the front page.
type Home struct {
	Viewer      *Viewer // nil when nobody is signed in
	SignIn      string  // path
	Connections string  // path of the connected apps
	Connected   int     // how many apps the viewer has connected
	Warehouses  []Warehouse
	MetadataURL string // of the authorization server, for developers (RFC 8414)
	Notice      string
}

// Home shows what this gateway is, and who is signed in.
func (p *Pages) Home(w http.ResponseWriter, r *http.Request, page Home) {
	p.show(w, r, http.StatusOK, "home", frame{Title: "Redshift for your apps", Viewer: page.Viewer, Notice: page.Notice, Page: page})
}
