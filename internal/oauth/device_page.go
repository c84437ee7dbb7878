package oauth

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/pages"
	"github.com/shiftgrant/shiftgrant/internal/signin"
)

// A deviceQuestion is what a person is asked about a device. It travels as a question does.
type deviceQuestion struct {
	Question question
	Device   grant.Hash
}

// enterUserCode asks a person who is signed in for the code that their device shows. A link that
// brings the code along fills it in, and no more.
func (s *Server) enterUserCode(w http.ResponseWriter, r *http.Request) {
	p, err := parseParameters(r.URL.RawQuery)
	if err != nil || len(r.URL.RawQuery) > maxAuthorizeQuery {
		s.pages.Error(w, r, http.StatusBadRequest, unreadableLink())
		return
	}
	current, err := s.whoIsSignedIn(r)
	switch {
	case err != nil:
		s.unavailable(w, r, "find out who is signed in", err)
	case current == nil:
		s.signIn.Begin(w, r, s.devicePage(p.get("user_code")))
	case current.Person.Disabled:
		s.pages.Error(w, r, http.StatusForbidden, pages.PersonDisabled())
	default:
		s.showUserCode(w, r, current, http.StatusOK, p.get("user_code"), "")
	}
}

func (s *Server) devicePage(userCode string) string {
	if userCode == "" {
		return s.base + "/device"
	}
	return s.base + "/device?user_code=" + url.QueryEscape(userCode)
}

func (s *Server) showUserCode(w http.ResponseWriter, r *http.Request, current *signin.Current, status int, userCode, problem string) {
	sealed, err := s.sealForm(current, "device", current.Person.ID)
	if err != nil {
		s.unavailable(w, r, "seal device form", err)
		return
	}
	s.pages.Device(w, r, status, pages.Device{
		Person: current.Person, UserCode: normalUserCode(userCode), Problem: problem,
		Form:         pages.Form{Action: s.base + "/device", Hidden: []pages.Field{{Name: sealedField, Value: sealed}}},
		SwitchPerson: s.signIn.SignOutForm(current, s.devicePage(normalUserCode(userCode))),
	})
}

// normalUserCode lets nothing of a link onto the page but letters that a code can have.
func normalUserCode(typed string) string {
	var letters []byte
	for i := range min(len(typed), 32) {
		c := typed[i]
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		if 'A' <= c && c <= 'Z' && len(letters) < 8 {
			letters = append(letters, c)
		}
	}
	if len(letters) != 8 {
		return ""
	}
	return string(letters[:4]) + "-" + string(letters[4:])
}

// takeUserCode finds the device of a code, and asks for consent.
func (s *Server) takeUserCode(w http.ResponseWriter, r *http.Request) {
	form, current, ok := s.readAnswer(w, r)
	if !ok {
		return
	}
	var person string
	if current == nil || s.openForm(current, "device", form.get(sealedField), &person) != nil || person != current.Person.ID {
		s.pages.Error(w, r, http.StatusBadRequest, pages.ConsentExpired())
		return
	}
	if current.Person.Disabled {
		s.pages.Error(w, r, http.StatusForbidden, pages.PersonDisabled())
		return
	}
	if s.userCodes.Full(s.now(), person) > 0 {
		s.pages.Error(w, r, http.StatusTooManyRequests, pages.TooManyCodes())
		return
	}
	device, app, err := s.waitingDevice(r.Context(), hashUserCode(form.get("user_code")))
	if errors.Is(err, grant.ErrNotFound) {
		s.userCodes.Take(s.now(), person)
		s.showUserCode(w, r, current, http.StatusBadRequest, "", "No device is waiting with this code. Check it, or start again on the device: a code is good for ten minutes.")
		return
	}
	if err != nil {
		s.unavailable(w, r, "look up device", err)
		return
	}
	s.askForDevice(w, r, current, device, app)
}

// waitingDevice finds a device that nobody has answered yet, and its app.
func (s *Server) waitingDevice(ctx context.Context, userCode grant.Hash) (grant.Device, *grant.App, error) {
	device, err := s.store.DeviceByUserCode(ctx, s.tenant, userCode)
	if err != nil {
		return device, nil, err
	}
	return s.stillWaiting(ctx, device)
}

func (s *Server) stillWaiting(ctx context.Context, device grant.Device) (grant.Device, *grant.App, error) {
	if !device.AnsweredAt.IsZero() || !s.now().Before(device.ExpiresAt) {
		return device, nil, grant.ErrNotFound
	}
	app, err := s.trustedApp(ctx, device.AppID)
	if err == nil && !s.mayAsk(app, device.Scopes) {
		err = grant.ErrNotFound
	}
	return device, app, err
}

// askForDevice shows the consent page, always: what a device is, nobody can know.
func (s *Server) askForDevice(w http.ResponseWriter, r *http.Request, current *signin.Current, device grant.Device, app *grant.App) {
	asked := deviceQuestion{Device: device.Hash, Question: question{
		GrantID: grant.NewID("gra"), AppID: app.ID, PersonID: current.Person.ID, Scopes: device.Scopes, Warehouse: device.Warehouse, Expires: device.ExpiresAt,
	}}
	sealed, err := s.sealForm(current, "device-consent", asked)
	if err != nil {
		s.unavailable(w, r, "seal consent form", err)
		return
	}
	g := s.newGrant(app, asked.Question)
	s.pages.Consent(w, r, pages.Consent{
		App: *app, Device: &pages.AskingDevice{Address: device.Address, AskedAt: device.CreatedAt}, Person: current.Person, Warehouse: s.warehouses[device.Warehouse],
		Scopes: device.Scopes, Limits: g.Limits, ExpiresAt: g.ExpiresAt, AccessLifetime: s.accessLifetimeOf(app),
		Form:         pages.Form{Action: s.base + "/device/decision", Hidden: []pages.Field{{Name: sealedField, Value: sealed}}},
		SwitchPerson: s.signIn.SignOutForm(current, s.devicePage("")),
	})
}

// decideDevice takes the person's answer.
func (s *Server) decideDevice(w http.ResponseWriter, r *http.Request) {
	form, current, ok := s.readAnswer(w, r)
	if !ok {
		return
	}
	var asked deviceQuestion
	if current == nil || s.openForm(current, "device-consent", form.get(sealedField), &asked) != nil || asked.Question.PersonID != current.Person.ID {
		s.pages.Error(w, r, http.StatusBadRequest, pages.ConsentExpired())
		return
	}
	if current.Person.Disabled {
		s.pages.Error(w, r, http.StatusForbidden, pages.PersonDisabled())
		return
	}
	device, err := s.store.Device(r.Context(), s.tenant, asked.Device)
	var app *grant.App
	if err == nil {
		device, app, err = s.stillWaiting(r.Context(), device)
	}
	if err == nil {
		err = s.answerDevice(r.Context(), current, asked.Question, device, app, form.get(pages.Decision) == pages.Allow)
	}
	switch {
	case errors.Is(err, grant.ErrNotFound), errors.Is(err, grant.ErrConflict): // too late, or answered before
		s.pages.Error(w, r, http.StatusBadRequest, pages.ConsentExpired())
	case err != nil:
		s.unavailable(w, r, "answer device", err)
	default:
		s.pages.DeviceAnswered(w, r, pages.DeviceAnswered{App: app.Name, Allowed: form.get(pages.Decision) == pages.Allow, Connections: s.base + "/connections"})
	}
}

// answerDevice records the answer, and then keeps it.
func (s *Server) answerDevice(ctx context.Context, current *signin.Current, asked question, device grant.Device, app *grant.App, allowed bool) error {
	g, outcome := s.newGrant(app, asked), "allowed for a device"
	if !allowed {
		g, outcome = grant.Grant{Tenant: s.tenant, AppID: app.ID, PersonID: asked.PersonID, Warehouse: asked.Warehouse, Scopes: asked.Scopes}, "denied"
	}
	if err := s.record(ctx, event{kind: consented, grant: &g, outcome: outcome}); err != nil {
		return err
	}
	if !allowed {
		return s.store.DenyDevice(ctx, device, s.now())
	}
	return s.store.AllowDevice(ctx, device, g, grant.Code{
		Hash: device.Hash, Tenant: s.tenant, GrantID: g.ID, AppID: app.ID, Scopes: g.Scopes,
		AuthTime: current.AuthTime, CreatedAt: s.now(), ExpiresAt: device.ExpiresAt,
	}, s.now())
}
