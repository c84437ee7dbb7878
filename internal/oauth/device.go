package oauth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

// A device is a program without a browser: it shows a code, which a person enters at /device in a
// browser of theirs, and asks at the token endpoint until they have answered (RFC 8628).
//
// What to fear is a code that somebody else shows: sent with a story, it has a person let a stranger
// in. So only apps that the operator named may ask, the page says what is about to happen and where
// the request came from, and a link with the code in it still asks (§5.4, §3.3.1). And guessing: a
// code is tried only by somebody who is signed in, and not often (§5.1).

// deviceGrantType is RFC 8628 §3.4.
const deviceGrantType = "urn:ietf:params:oauth:grant-type:device_code"

const (
	// devicePause is how long a device waits between two polls, and what it is told to add when it
	// does not (§3.5).
	devicePause = 5 * time.Second
	// devicesPerMinute bounds the devices of an app at one address, wrongUserCodes what one person
	// can try in an hour: of 20^8 codes.
	devicesPerMinute = 30
	wrongUserCodes   = 20
)

// A deviceResponse is RFC 8628 §3.2.
type deviceResponse struct {
	DeviceCode      string `json:"device_code"`
	UserCode        string `json:"user_code"`
	VerificationURI string `json:"verification_uri"`
	Complete        string `json:"verification_uri_complete"`
	ExpiresIn       int64  `json:"expires_in"`
	Interval        int64  `json:"interval"`
}

// deviceAuthorization begins (§3.1).
func (s *Server) deviceAuthorization(w http.ResponseWriter, r *http.Request) {
	answer, err := s.beginDevice(r)
	if err != nil {
		s.writeFault(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

func (s *Server) beginDevice(r *http.Request) (*deviceResponse, error) {
	form, err := readForm(r)
	if err != nil {
		return nil, err
	}
	app, err := s.authenticateClient(r, form)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(s.deviceApps, app.ID) {
		return nil, &fault{code: "unauthorized_client", description: "this app is not registered for sign-in by a code; use the authorization code flow"}
	}
	address := s.clientAddress(r)
	if wait := s.devices.Take(s.now(), address, app.ID); wait > 0 {
		return nil, slowDown(wait)
	}
	if form.repeated("resource") || form.get("resource") != "" && !s.isOurResource(form.get("resource")) {
		return nil, invalidTarget()
	}
	asked, err := grant.ParseScopes(form.get("scope"))
	if err != nil {
		return nil, invalidScope("separate scopes with one space")
	}
	scopes, warehouse, f := s.resolveScopes(app, asked)
	if f != nil {
		return nil, f
	}
	return s.newDevice(r.Context(), grant.Device{Tenant: s.tenant, AppID: app.ID, Scopes: scopes, Warehouse: warehouse, Address: address})
}

// newDevice stores a device under codes of its own. That a user code is taken is as likely as to
// guess one, so a few tries are enough.
func (s *Server) newDevice(ctx context.Context, d grant.Device) (*deviceResponse, error) {
	for range 3 {
		code, userCode, now := grant.NewToken(grant.DeviceCode), newUserCode(), s.now()
		d.Hash, d.UserCode = grant.HashToken(code.Reveal()), hashUserCode(userCode)
		d.CreatedAt, d.ExpiresAt, d.Pause = now, now.Add(grant.DeviceLifetime), devicePause
		err := s.store.CreateDevice(ctx, d)
		if errors.Is(err, grant.ErrExists) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("keep device: %w", err)
		}
		page := s.issuer + "/device"
		return &deviceResponse{
			DeviceCode: code.Reveal(), UserCode: userCode, VerificationURI: page, Complete: page + "?user_code=" + url.QueryEscape(userCode),
			ExpiresIn: int64(grant.DeviceLifetime / time.Second), Interval: int64(devicePause / time.Second),
		}, nil
	}
	return nil, errors.New("keep device: three user codes were taken")
}

// userCodeLetters spell no words and look like nothing else (RFC 8628 §6.1).
const userCodeLetters = "BCDFGHJKLMNPQRSTVWXZ"

// newUserCode is like WDJB-MJHT: 34 bits.
func newUserCode() string {
	var code strings.Builder
	for random := make([]byte, 1); code.Len() < 9; {
		if code.Len() == 4 {
			code.WriteByte('-')
		}
		rand.Read(random)                 // never fails since Go 1.24
		if i := int(random[0]); i < 240 { // so that each letter is as likely
			code.WriteByte(userCodeLetters[i%len(userCodeLetters)])
		}
	}
	return code.String()
}

// hashUserCode takes a code as people type it: in small letters, with spaces or without the hyphen.
func hashUserCode(typed string) grant.Hash {
	return grant.HashToken("user code " + strings.Map(func(c rune) rune {
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		if !strings.ContainsRune(userCodeLetters, c) {
			return -1
		}
		return c
	}, typed))
}

// redeemDevice answers a poll (§3.5).
func (s *Server) redeemDevice(ctx context.Context, app *grant.App, request *tokenRequest) (*tokens, error) {
	unknown := invalidGrant("the device code is unknown, or was issued to another client")
	hash, err := grant.ParseToken(grant.DeviceCode, request.device.Reveal())
	if err != nil {
		return nil, unknown
	}
	device, err := s.store.Device(ctx, s.tenant, hash)
	if errors.Is(err, grant.ErrNotFound) {
		return nil, unknown
	}
	if err != nil {
		return nil, fmt.Errorf("look up device: %w", err)
	}
	switch {
	case device.AppID != app.ID:
		return nil, unknown
	case device.Denied:
		return nil, &fault{code: "access_denied", description: "the person said no"}
	case !s.now().Before(device.ExpiresAt):
		return nil, &fault{code: "expired_token", description: "the device code has expired; ask for a new one"}
	case device.AnsweredAt.IsZero():
		return nil, s.keepWaiting(ctx, device)
	}
	return s.redeemAllowed(ctx, app, hash)
}

// keepWaiting tells a device to ask again, and one that asks too often to do so less.
func (s *Server) keepWaiting(ctx context.Context, device grant.Device) error {
	answer, pause, now := &fault{code: "authorization_pending", description: "the person has not answered yet"}, device.Pause, s.now()
	// A second of grace: what was sent in time may arrive early after one that was late.
	if !device.PolledAt.IsZero() && now.Sub(device.PolledAt) < pause-time.Second {
		pause += devicePause
		answer = &fault{code: "slow_down", description: "wait five seconds longer between two requests than until now"}
	}
	err := s.store.NotePoll(ctx, device, now, pause)
	if errors.Is(err, grant.ErrConflict) { // by another at the same instant
		return &fault{code: "slow_down", description: "wait five seconds longer between two requests than until now"}
	}
	if err != nil {
		return fmt.Errorf("note poll: %w", err)
	}
	return answer
}

// redeemAllowed trades the code that a person's yes has made, once.
func (s *Server) redeemAllowed(ctx context.Context, app *grant.App, hash grant.Hash) (*tokens, error) {
	code, standing, err := s.store.Code(ctx, s.tenant, hash)
	if err != nil {
		return nil, fmt.Errorf("look up the code of a device: %w", err)
	}
	if !code.RedeemedAt.IsZero() {
		return nil, s.codeReplayed(ctx, &code)
	}
	issued, err := s.useUp(ctx, app, &standing, &code)
	if errors.Is(err, grant.ErrConflict) {
		return nil, invalidGrant("the device code was used at the same moment, or the connection was ended")
	}
	return issued, err
}
