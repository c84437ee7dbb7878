package idp

import (
	"net/http"
	"time"
)

// A Script makes the provider act by itself, or misbehave. The zero value is good behaviour.
type Script struct {
	// SignInAs answers each authorization request as this person, without a page.
	SignInAs string
	// Deny answers each authorization request with access_denied.
	Deny bool
	// TokenFailures is how many of the next token requests fail with status 503.
	TokenFailures int
	// RefuseRefresh answers each refresh with invalid_grant, as if the person had left.
	RefuseRefresh bool
	// Delay holds back each answer but those to browsers.
	Delay time.Duration
	// WrongNonce, WrongAudience and ExpiredIDToken spoil the ID tokens that are issued.
	WrongNonce     bool
	WrongAudience  bool
	ExpiredIDToken bool
	// ClockAhead is how far ahead the clock is that ID tokens are dated by; behind where it is negative.
	ClockAhead time.Duration
	// LostAnswers is how many of the next good answers of the token endpoint nobody gets.
	LostAnswers int
}

// SetScript replaces the script.
func (p *Provider) SetScript(s Script) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.script = s
}

// Stop makes the provider look as if it were down: connections end without an answer.
func (p *Provider) Stop() { p.setStopped(true) }

// Start ends what Stop began.
func (p *Provider) Start() { p.setStopped(false) }

func (p *Provider) setStopped(stopped bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = stopped
}

func (p *Provider) down() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stopped
}

func (p *Provider) currentScript() Script {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.script
}

// takeTokenFailure says whether this token request is one of those that are to fail.
func (p *Provider) takeTokenFailure() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.script.TokenFailures <= 0 {
		return false
	}
	p.script.TokenFailures--
	return true
}

// takeLostAnswer says whether this token answer is one of those that are to be lost.
func (p *Provider) takeLostAnswer() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.script.LostAnswers <= 0 {
		return false
	}
	p.script.LostAnswers--
	return true
}

func (p *Provider) delayed(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if delay := p.currentScript().Delay; delay > 0 {
			timer := time.NewTimer(delay)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-r.Context().Done():
				return
			}
		}
		next(w, r)
	}
}
