package identity

import (
	"context"
	"errors"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/secret"
	"github.com/shiftgrant/shiftgrant/redshift"
)

// PasswordConfig is a database user with a password of its own.
type PasswordConfig struct {
	User string
	// Read gives the password from where it is kept, and is asked again when the server refuses it.
	Read func() (secret.Text, error)
	Now  func() time.Time
}

// Password is the password chain: everybody is the one database user whose password is in a file or
// in the environment. It is for trying things on one's own machine.
type Password struct {
	config PasswordConfig
	held   heldLogin
	now    func() time.Time
}

// NewPassword checks the configuration.
func NewPassword(config PasswordConfig) (*Password, error) {
	if config.User == "" || config.Read == nil {
		return nil, errors.New("password: give a database user, and where the password is")
	}
	return &Password{config: config, now: orSystemTime(config.Now)}, nil
}

// Login implements LoginProvider.
func (p *Password) Login(_ context.Context, renew bool) (Login, error) {
	return p.held.get(p.now(), renew, func() (Login, error) {
		password, err := p.config.Read()
		if err != nil {
			return Login{}, &redshift.AccessError{Step: "read the password of " + p.config.User, Err: err}
		}
		return Login{User: p.config.User, Password: password, MayChange: true, Expires: p.now().Add(connectionLife)}, nil
	})
}
