package connect

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"golang.org/x/oauth2"
)

// ErrNoDevices says that the issuer does not let devices in by a code.
var ErrNoDevices = errors.New("the issuer offers no sign-in by a code")

// ErrDenied says that the person said no.
var ErrDenied = errors.New("access was denied")

// ErrExpired says that nobody answered in time.
var ErrExpired = errors.New("the code has expired")

// A DeviceSignIn is a sign-in of a program without a browser: it shows UserCode and URL, which the
// person enters and opens elsewhere (RFC 8628).
type DeviceSignIn struct {
	UserCode string
	URL      string
	Complete string // URL with the code in it, "" for none
	Expires  time.Time

	client *Client
	answer *oauth2.DeviceAuthResponse
}

// BeginDevice asks the issuer for a code. It returns ErrNoDevices where there are none.
func (c *Client) BeginDevice(ctx context.Context) (*DeviceSignIn, error) {
	metadata, err := c.metadata(ctx)
	if err != nil {
		return nil, err
	}
	if metadata.DeviceEndpoint == "" {
		return nil, ErrNoDevices
	}
	if err := secureURL(metadata.DeviceEndpoint); err != nil {
		return nil, fmt.Errorf("device_authorization_endpoint: %w", err)
	}
	config := c.oauth(metadata)
	config.Endpoint.DeviceAuthURL = metadata.DeviceEndpoint
	answer, err := config.DeviceAuth(c.tokenContext(ctx))
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) && refused.Response != nil {
		return nil, fmt.Errorf("ask for a code: status %d, error %q", refused.Response.StatusCode, printable(refused.ErrorCode))
	}
	if err != nil {
		return nil, fmt.Errorf("ask for a code: %w", err)
	}
	if secureURL(answer.VerificationURI) != nil || answer.UserCode == "" {
		return nil, errors.New("ask for a code: the answer has no code, or no https URL to enter it")
	}
	if answer.VerificationURIComplete != "" && secureURL(answer.VerificationURIComplete) != nil {
		answer.VerificationURIComplete = ""
	}
	return &DeviceSignIn{answer.UserCode, answer.VerificationURI, answer.VerificationURIComplete, answer.Expiry, c, answer}, nil
}

// Wait asks the issuer until the person has answered. It returns ErrDenied and ErrExpired for what
// it says; an issuer that does not answer for a while is asked on.
func (d *DeviceSignIn) Wait(ctx context.Context) (Identity, Tokens, error) {
	c := d.client
	metadata, err := c.metadata(ctx)
	if err != nil {
		return Identity{}, Tokens{}, err
	}
	token, err := c.oauth(metadata).DeviceAccessToken(c.tokenContext(ctx), d.answer)
	for err != nil && isPassing(err) && ctx.Err() == nil && time.Now().Before(d.Expires) {
		if err := sleep(ctx, max(time.Duration(d.answer.Interval)*time.Second, time.Second)); err != nil {
			return Identity{}, Tokens{}, err
		}
		token, err = c.oauth(metadata).DeviceAccessToken(c.tokenContext(ctx), d.answer)
	}
	if err != nil {
		return Identity{}, Tokens{}, d.explain(ctx, err)
	}
	identity := Identity{Issuer: c.config.Issuer}
	if c.asksForOpenID() {
		if identity, err = c.verifyIDToken(ctx, metadata, token, ""); err != nil { // there was no browser to bind a nonce to
			return Identity{}, Tokens{}, fmt.Errorf("verify ID token: %w", err)
		}
	}
	return identity, c.tokensOf(token), nil
}

// isPassing reports whether asking again may help.
func isPassing(err error) bool {
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) && refused.Response != nil {
		return refused.Response.StatusCode >= http.StatusInternalServerError || refused.Response.StatusCode == http.StatusTooManyRequests
	}
	return !errors.Is(err, errTokenAnswer) && !slices.ContainsFunc([]error{context.Canceled, context.DeadlineExceeded}, func(end error) bool { return errors.Is(err, end) })
}

func sleep(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *DeviceSignIn) explain(ctx context.Context, err error) error {
	var refused *oauth2.RetrieveError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case !errors.As(err, &refused) && !time.Now().Before(d.Expires), errors.Is(err, context.DeadlineExceeded):
		return ErrExpired // DeviceAccessToken gives up by itself at that time
	case refused == nil || refused.Response == nil:
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	case refused.ErrorCode == "access_denied":
		return ErrDenied
	case refused.ErrorCode == "expired_token":
		return ErrExpired
	}
	return fmt.Errorf("the issuer refused: status %d, error %q", refused.Response.StatusCode, printable(refused.ErrorCode))
}
