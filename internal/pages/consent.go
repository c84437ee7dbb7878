package pages

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

// The answer to a consent page is the form field Decision with one of these values. Anything
// else, and no value at all, is no consent.
const (
	Decision = "decision"
	Allow    = "allow"
	Deny     = "deny"
)

// Consent asks a person whether an app may act for them.
type Consent struct {
	App         grant.App
	RedirectURI string // of the request, checked: shown as the place where the answer goes
	// Device is what asks, in place of a browser that returns to RedirectURI.
	Device    *AskingDevice
	Person    grant.Person
	Warehouse Warehouse
	Scopes    grant.Scopes
	Limits    grant.Limits
	// Before are the scopes of what the person has allowed this app earlier on this warehouse;
	// what goes beyond them is marked as new. Nil when this is the first time.
	Before grant.Scopes
	// ExpiresAt is the end of the grant, whatever is refreshed.
	ExpiresAt time.Time
	// AccessLifetime is how long the app has access when it does not ask for offline_access.
	AccessLifetime time.Duration
	Form           Form // its redirect to RedirectURI is added to LeadsTo by itself
	// SwitchPerson signs the person out and lets another one sign in.
	SwitchPerson Form
}

// Consent shows the question. Nothing is focused, so that no key pressed in haste is an answer.
func (p *Pages) Consent(w http.ResponseWriter, r *http.Request, page Consent) {
	if page.Device == nil {
		page.Form.LeadsTo = append(slices.Clone(page.Form.LeadsTo), page.RedirectURI)
	}
	p.show(w, r, http.StatusOK, "consent", frame{Title: page.Question(), Page: &page}, page.Form, page.SwitchPerson)
}

// Question is the heading: "Allow Stargazer to read TICKIT sales as you?".
func (c Consent) Question() string {
	switch {
	case c.changes():
		return "Allow " + c.App.Name + " to read and change " + c.Warehouse.Title() + " as you?"
	case c.Scopes.Has(grant.ScopeRead) || c.Scopes.Has(grant.ScopeWrite):
		return "Allow " + c.App.Name + " to read " + c.Warehouse.Title() + " as you?"
	}
	return "Allow " + c.App.Name + " to know who you are?"
}

// AppInitials stand in for the app's logo.
func (c Consent) AppInitials() string { return firstLetter(initials(c.App.Name)) }

// PersonInitials stand in for a portrait.
func (c Consent) PersonInitials() string { return initials(c.Person.DisplayName()) }

// HomepageHost is the host of the app's homepage, or "" for one that is no web address.
func (c Consent) HomepageHost() string {
	u, err := url.Parse(c.App.Homepage)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	return u.Host
}

// QueriesData reports whether the app would get at the warehouse at all.
func (c Consent) QueriesData() bool {
	return c.Scopes.Has(grant.ScopeRead) || c.Scopes.Has(grant.ScopeWrite)
}

// changes reports whether the app could write, here or with credentials that work elsewhere.
func (c Consent) changes() bool {
	return c.Scopes.Has(grant.ScopeWrite) && !c.Limits.ReadOnly || c.Scopes.Has(grant.ScopeCredentials)
}

// ReviewedByAdmin reports whether somebody of the organization registered the app.
func (c Consent) ReviewedByAdmin() bool {
	return c.App.Origin == grant.FromConfig || c.App.Origin == grant.FromAdmin
}

// Destination says where the answer goes, as far as a person can check it: the host.
func (c Consent) Destination() string {
	u, err := url.Parse(c.RedirectURI)
	switch {
	case err != nil:
		return c.RedirectURI
	case u.Scheme == "https" || u.Scheme == "http":
		return u.Host
	}
	return u.Scheme
}

// OnThisComputer reports whether the answer goes to a program on the person's own machine.
func (c Consent) OnThisComputer() bool { return grant.IsLoopbackURI(c.RedirectURI) }

// ToAnInstalledApp reports whether the answer goes to whatever app claimed a scheme.
func (c Consent) ToAnInstalledApp() bool {
	return !strings.HasPrefix(c.RedirectURI, "https://") && !strings.HasPrefix(c.RedirectURI, "http://")
}

// Warning says what the gateway cannot vouch for, "" for nothing. Any program can listen on a
// loopback port or claim a scheme, and an app without a secret cannot prove that it is itself
// (OAuth 2.1 §7.3.1).
func (c Consent) Warning() string {
	switch {
	case c.Device != nil:
		return "This lets in another device, which asked from the address " + c.Device.Address + " at " + c.Device.Time() + ". Allow only if you started " + c.App.Name + " there yourself. If somebody sent you the code or a link, press Deny: they would get in as you."
	case c.OnThisComputer():
		return "Your answer goes to a program on this computer. Allow only if you started " + c.App.Name + " yourself just now."
	case c.ToAnInstalledApp():
		return "Your answer goes to an app on this device. Allow only if you started " + c.App.Name + " yourself just now."
	case c.App.Type == grant.Public:
		return c.App.Name + " cannot prove to us that it is genuine. Allow only if you trust " + c.Destination() + "."
	case !c.ReviewedByAdmin():
		return "Nobody at your organization has looked at this app. Allow only if you trust " + c.Destination() + "."
	}
	return ""
}

// Offline reports whether access goes on while the person is away.
func (c Consent) Offline() bool { return c.Scopes.Has(grant.ScopeOffline) }

// Until is the day on which the grant ends.
func (c Consent) Until() Day { return Day{c.ExpiresAt} }

// Visit is how long access lasts for an app that cannot refresh: "10 minutes".
func (c Consent) Visit() string {
	minutes := int(c.AccessLifetime.Round(time.Minute).Minutes())
	switch {
	case minutes <= 1:
		return "a minute"
	case minutes < 120:
		return strconv.Itoa(minutes) + " minutes"
	}
	return strconv.Itoa(minutes/60) + " hours"
}

// A Right is one thing that an app may do.
type Right struct {
	Icon  string // of the template "icon"
	Title string // "Read data"
	// Detail explains; it may be "".
	Detail string
	Strong bool // more than looking
	New    bool // not part of an earlier consent
	scopes grant.Scopes
}

// Rights are what the app may do, in words, with the new ones marked.
func (c Consent) Rights() []Right {
	list := rights(c.Scopes, c.Limits)
	before := c.Before
	if before.Has(grant.ScopeWrite) {
		before = append(slices.Clone(before), grant.ScopeRead) // who may write may read
	}
	for i := range list {
		list[i].New = before != nil && !list[i].scopes.Within(before)
	}
	return list
}

// rights puts scopes and limits in words.
func rights(scopes grant.Scopes, limits grant.Limits) []Right {
	var list []Right
	write := scopes.Has(grant.ScopeWrite) && !limits.ReadOnly
	if scopes.Has(grant.ScopeRead) || scopes.Has(grant.ScopeWrite) {
		list = append(list, Right{Icon: "read", Title: "Read data", Detail: reach(limits), scopes: grant.Scopes{grant.ScopeRead}})
	}
	if write {
		list = append(list, Right{
			Icon: "write", Title: "Change and delete data", Strong: true, scopes: grant.Scopes{grant.ScopeWrite},
			Detail: "Insert, update, delete, create, and drop" + where(limits, ", wherever you may", ", where you may in ") + ".",
		})
	}
	if scopes.Has(grant.ScopeCredentials) {
		list = append(list, Right{
			Icon: "warning", Title: "Take temporary passwords and AWS keys of yours", Strong: true, scopes: grant.Scopes{grant.ScopeCredentials},
			Detail: "With them it does in Redshift whatever you may, without us in between. Each opens doors for 15 minutes, and what it opened may stay open, even after you disconnect the app.",
		})
	}
	if scopes.Has(grant.ScopeOffline) {
		list = append(list, Right{
			Icon: "away", Title: "Keep access while you are away", scopes: grant.Scopes{grant.ScopeOffline},
			Detail: "It can run queries when you are not using it.",
		})
	}
	if about := aboutYou(scopes); len(about) > 0 {
		list = append(list, Right{
			Icon: "person", Title: "Know who you are", Detail: "Your " + sentence(about) + ".",
			scopes: slices.DeleteFunc(slices.Clone(scopes), func(scope string) bool {
				return scope != grant.ScopeOpenID && scope != grant.ScopeProfile && scope != grant.ScopeEmail
			}),
		})
	}
	return list
}

// aboutYou lists what the app learns of the person.
func aboutYou(scopes grant.Scopes) []string {
	var about []string
	if scopes.Has(grant.ScopeProfile) {
		about = append(about, "name", "Redshift user")
	}
	if scopes.Has(grant.ScopeEmail) {
		about = append(about, "email address")
	}
	if len(about) == 0 && scopes.Has(grant.ScopeOpenID) {
		about = append(about, "account number at this gateway")
	}
	return about
}

// reach says how far reading goes. What the database lets the person see is always the bound:
// the gateway only narrows it.
func reach(limits grant.Limits) string {
	extent := where(limits, "Everything that you may read in Redshift", "What you may read in ")
	var caps []string
	if limits.MaxRows > 0 {
		caps = append(caps, thousands(limits.MaxRows)+plural(int(limits.MaxRows), " row", " rows"))
	}
	if limits.MaxBytes > 0 {
		caps = append(caps, size(limits.MaxBytes))
	}
	if len(caps) > 0 {
		extent += ", at most " + sentence(caps) + " for each query"
	}
	return extent + "."
}

// where is a phrase for no limit on schemas, or one that leads up to their names.
func where(limits grant.Limits, everywhere, leading string) string {
	if len(limits.Schemas) == 0 {
		return everywhere
	}
	return leading + plural(len(limits.Schemas), "the schema ", "the schemas ") + sentence(limits.Schemas)
}

// Refusals are what the app may not do, for a person who wonders.
func (c Consent) Refusals() []string {
	var list []string
	if c.QueriesData() && !c.changes() {
		list = append(list, "Change or delete data")
	}
	if c.QueriesData() {
		list = append(list, "See anything in Redshift that you cannot see yourself")
	} else {
		list = append(list, "Run queries in Redshift")
	}
	if !c.Offline() {
		list = append(list, "Keep access while you are away")
	}
	return append(list, "See your password")
}

// NewSinceBefore reports whether this asks for more than the person allowed earlier.
func (c Consent) NewSinceBefore() bool {
	return slices.ContainsFunc(c.Rights(), func(r Right) bool { return r.New })
}

// sentence joins words: "a", "a and b", "a, b, and c".
func sentence(words []string) string {
	switch n := len(words); n {
	case 0, 1:
		return strings.Join(words, "")
	case 2:
		return words[0] + " and " + words[1]
	default:
		return strings.Join(words[:n-1], ", ") + ", and " + words[n-1]
	}
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// thousands writes 1234567 as "1,234,567".
func thousands(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// size writes bytes as "10 MB".
func size(bytes int64) string {
	for _, unit := range []struct {
		name string
		size int64
	}{{"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}} {
		if bytes >= unit.size {
			return strconv.FormatFloat(float64(bytes)/float64(unit.size), 'g', 3, 64) + " " + unit.name
		}
	}
	return strconv.FormatInt(bytes, 10) + " bytes"
}
