package pages

import (
	"net/http"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

// Connections is a person's list of what they allowed.
type Connections struct {
	Viewer Viewer
	Apps   []Connection
	Notice string // what just happened: "Stargazer is disconnected."
}

// A Connection is one grant that is alive.
type Connection struct {
	App        grant.App
	Grant      grant.Grant
	Warehouse  Warehouse
	Disconnect Form
}

// Connections shows the list, with a button for ending each.
func (p *Pages) Connections(w http.ResponseWriter, r *http.Request, page Connections) {
	forms := make([]Form, 0, len(page.Apps))
	for _, connection := range page.Apps {
		forms = append(forms, connection.Disconnect)
	}
	p.show(w, r, http.StatusOK, "connections", frame{Title: "Connected apps", Viewer: &page.Viewer, Notice: page.Notice, Page: page}, forms...)
}

// Initials stand in for the app's logo.
func (c Connection) Initials() string { return firstLetter(initials(c.App.Name)) }

// Since is the day of consent.
func (c Connection) Since() Day { return Day{c.Grant.CreatedAt} }

// Until is the day on which the connection ends by itself.
func (c Connection) Until() Day { return Day{c.Grant.ExpiresAt} }

// Rights sums up the grant in a few words each.
func (c Connection) Rights() []Right { return rights(c.Grant.Scopes, c.Grant.Limits) }
