// Package doctor walks the way from a configuration file to a row of a warehouse, link by link, and
// names the one that is broken, why, and what mends it.
//
// Set-up goes wrong in places that belong to several people: a trust policy in an AWS account, a
// redirect URI at an identity provider, a firewall, a GRANT that was forgotten. Whoever looks at the
// end sees "access denied" and nothing else. So each link is tried by itself, in order, and one that
// lies behind a broken link is skipped: the first ✗ is where to work.
//
// What can be wrong is one table ([Links]): each link with its causes, each cause with its remedy.
// Reports are filled in from it, and docs/troubleshooting.md is written from it, so that the two
// never differ.
//
// What to fear here: doctor signs assertions with the gateway's key and goes to the warehouse as a
// person. It therefore runs only where that key can be read, runs the few statements in sql.go and
// nothing that anybody wrote, changes nothing anywhere, and its sessions carry a name of their own
// (shiftgrant-doctor) in CloudTrail and in Redshift's connection log. No secret is in a report.
package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/shiftgrant/shiftgrant/internal/gateway"
	"github.com/shiftgrant/shiftgrant/redshift"
)

// A State is how a link is.
type State string

// The states of a link.
const (
	Whole   State = "whole"
	Weak    State = "weak"    // it holds, and is not what one would wish
	Broken  State = "broken"  // nothing gets through
	Skipped State = "skipped" // a link before it is broken, or something was not given
)

// A Result is one link after it was tried.
type Result struct {
	Link string `json:"link"`
	// Of is the upstream or the warehouse, for links that each of them has.
	Of    string `json:"of,omitzero"`
	Title string `json:"title"`
	State State  `json:"state"`
	Found string `json:"found"`           // what is so, in one line
	Cause string `json:"cause,omitzero"`  // its name in the table
	Mend  string `json:"remedy,omitzero"` // what to do
	// Detail is the error as it came, for whoever searches for its words.
	Detail       string `json:"detail,omitzero"`
	Milliseconds int64  `json:"milliseconds"`
}

// A Report is all links.
type Report struct {
	Links []Result `json:"links"`
}

// Broken are the links that are.
func (r *Report) Broken() []Result {
	var broken []Result
	for _, one := range r.Links {
		if one.State == Broken {
			broken = append(broken, one)
		}
	}
	return broken
}

// Config says what to look at, and as whom.
type Config struct {
	File   string // the gateway's configuration
	Tenant string // "" is the default one
	// Warehouse is the one to look at; "" is all of them.
	Warehouse string
	// As is the database user to be in the warehouse; "" ends each way before the login. Email is
	// theirs, for chains that know people by it; without it a running gateway is asked.
	As    string
	Email string

	// Started is told of each link before it is tried, Ended of each result. Nil tells nobody.
	Started func(title string, limit time.Duration)
	Ended   func(Result)
	Now     func() time.Time // nil is time.Now
}

var (
	// ErrNoWarehouse says that the configuration has no warehouse of that name.
	ErrNoWarehouse = errors.New("the configuration has no such warehouse")
	// ErrDatabaseUser says that nobody in Redshift can have that name.
	ErrDatabaseUser = errors.New("no database user can have this name: 1 to 64 of a-z 0-9 + . @ _ -, a letter first")
)

// databaseUsers are those of redshift:GetClusterCredentials.
var databaseUsers = regexp.MustCompile(`^[a-z][a-z0-9+.@_-]{0,63}$`)

// Examine tries all links. An error says that they could not be tried; what is broken is in the
// report.
func Examine(ctx context.Context, config Config) (*Report, error) {
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.As != "" && !databaseUsers.MatchString(config.As) {
		return nil, fmt.Errorf("%q: %w", config.As, ErrDatabaseUser)
	}
	e := &examination{config: config, report: &Report{}}
	defer e.close()
	whole := e.walk(ctx, &visit{examination: e}, GatewayLinks(), nil)
	if e.gateway == nil {
		return e.report, ctx.Err()
	}
	warehouses, err := e.chosen()
	if err != nil {
		return nil, err
	}
	for i := range e.gateway.Upstreams {
		e.walk(ctx, &visit{examination: e, upstream: &e.gateway.Upstreams[i]}, UpstreamLinks(), whole)
	}
	for i := range warehouses {
		v := &visit{examination: e, warehouse: &warehouses[i]}
		v.prepare()
		e.walk(ctx, v, WarehouseLinks(), whole)
		v.close()
	}
	return e.report, ctx.Err()
}

// An examination is what all links share.
type examination struct {
	config  Config
	report  *Report
	gateway *gateway.Config // nil until it has been read
	roads   *gateway.Roads  // nil where its keys cannot be read
	person  person
	running bool // a gateway answers on the data folder
	// clockIsWrong is this machine's, so that no other one can be called wrong.
	clockIsWrong bool
}

func (e *examination) close() {
	if e.roads != nil {
		_ = e.roads.Close() // idle connections
	}
}

// chosen are the warehouses to look at.
func (e *examination) chosen() ([]gateway.Warehouse, error) {
	if e.config.Warehouse == "" {
		return e.gateway.Warehouses, nil
	}
	var names []string
	for _, w := range e.gateway.Warehouses {
		if w.Name == e.config.Warehouse {
			return []gateway.Warehouse{w}, nil
		}
		names = append(names, w.Name)
	}
	return nil, fmt.Errorf("%w: it has %s", ErrNoWarehouse, strings.Join(names, ", "))
}

// verdicts are what links behind a link need to know of it: why they cannot be tried, or "" if the
// way goes on.
type verdicts map[string]string

// walk tries links in order. Before holds what was found of links that these may need.
func (e *examination) walk(ctx context.Context, v *visit, links []Link, before verdicts) verdicts {
	found := verdicts{}
	maps.Copy(found, before)
	for _, l := range links {
		if l.applies != nil && !l.applies(v) {
			continue
		}
		if why := l.blocked(v, found); why != "" {
			found[l.Name] = why
			e.tell(Result{Link: l.Name, Of: v.name(), Title: l.Title, State: Skipped, Found: why})
			continue
		}
		result := e.try(ctx, v, l)
		found[l.Name] = ""
		if result.State == Broken || result.State == Skipped {
			found[l.Name] = "not tried: it lies behind " + l.Name
		}
		e.tell(result)
	}
	return found
}

// blocked says why this link cannot be tried, or "".
func (l *Link) blocked(v *visit, found verdicts) string {
	for _, need := range l.Needs {
		if need == "issuer" && v.warehouse != nil && !asserted(*v.warehouse) {
			continue // nobody on this way reads the gateway's keys
		}
		if why := found[need]; why != "" {
			return why
		}
	}
	why := ""
	for _, way := range l.NeedsOne {
		blocked, there := found[way]
		if there && blocked == "" {
			return ""
		}
		why = cmp.Or(why, blocked)
	}
	return why
}

// try gives a link its time.
func (e *examination) try(ctx context.Context, v *visit, l Link) Result {
	if e.config.Started != nil {
		e.config.Started(l.Title, l.Limit)
	}
	ctx, cancel := context.WithTimeout(ctx, l.Limit)
	defer cancel()
	start := time.Now()
	f := v.once(l.check(ctx, v))
	result := Result{
		Link: l.Name, Of: v.name(), Title: l.Title, State: f.state, Found: f.found, Cause: f.cause, Milliseconds: time.Since(start).Milliseconds(),
	}
	if f.err != nil {
		result.Detail = oneLine(asItCame(f.err))
	}
	if f.cause != "" {
		values := v.values()
		maps.Copy(values, f.values)
		c := l.cause(f.cause)
		result.Found, result.Mend = fill(c.What, values), fill(c.Remedy, forPasting(values))
	}
	return result
}

// asItCame is an error without the remedies in it: those of the table are in the report.
func asItCame(err error) string {
	if access, ok := errors.AsType[*redshift.AccessError](err); ok && access.Code != "" {
		return access.Step + ": " + innermost(err)
	}
	return err.Error()
}

func (e *examination) tell(r Result) {
	e.report.Links = append(e.report.Links, r)
	if e.config.Ended != nil {
		e.config.Ended(r)
	}
}

// A finding is what a check says: that a link is whole, or one of the link's causes.
type finding struct {
	state  State
	found  string
	cause  string
	err    error
	values map[string]string
}

func whole(format string, arguments ...any) finding {
	return finding{state: Whole, found: fmt.Sprintf(format, arguments...)}
}

func skipped(format string, arguments ...any) finding {
	return finding{state: Skipped, found: fmt.Sprintf(format, arguments...)}
}

// broken names a cause of the link; values are pairs for the places in its texts.
func broken(cause string, err error, values ...string) finding {
	f := finding{state: Broken, cause: cause, err: err, values: map[string]string{}}
	for i := 0; i+1 < len(values); i += 2 {
		f.values[values[i]] = values[i+1]
	}
	return f
}

func weak(cause string, err error, values ...string) finding {
	f := broken(cause, err, values...)
	f.state = Weak
	return f
}

// shared are causes that more than one way into a warehouse can run into. Each is told once.
var shared = []string{"no_user", "no_database", "no_warehouse", "wrong_password", "scope"}

// once keeps the second way from being called broken for what the first has told.
func (v *visit) once(f finding) finding {
	if f.state != Broken || v.warehouse == nil || !slices.Contains(shared, f.cause) {
		return f
	}
	if slices.Contains(v.told, f.cause) {
		return skipped("not judged: it fails for the cause told above")
	}
	v.told = append(v.told, f.cause)
	return f
}

// fill puts values into a text's {places}. A place without a value stays: it is for the reader.
func fill(text string, values map[string]string) string {
	for name, value := range values {
		if value != "" {
			text = strings.ReplaceAll(text, "{"+name+"}", value)
		}
	}
	return text
}

// chosenByOthers are values that are not the operator's: a person has chosen their e-mail address, and
// said is what a server answered.
var chosenByOthers = []string{"email", "said"}

// forPasting makes values fit for a remedy, whose commands are there to be pasted. One that a shell or SQL
// could take for more than a name is left to the reader, who has it in the line above.
func forPasting(values map[string]string) map[string]string {
	values = maps.Clone(values)
	for _, name := range chosenByOthers {
		if strings.ContainsFunc(values[name], isNoPartOfAName) {
			values[name] = "…"
		}
	}
	return values
}

func isNoPartOfAName(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("+-.:/@_%=,", r)
}

// oneLine keeps what came from outside from writing lines, or commands for a terminal, of its own, and
// from turning text around.
func oneLine(text string) string {
	const limit = 600
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Bidi_Control) {
			return ' '
		}
		return r
	}, text)
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + " …"
	}
	return text
}
