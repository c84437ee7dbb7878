package sts

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/shiftgrant/shiftgrant/twin/sigv4"
)

const (
	minContext  = 4
	maxContext  = 2048
	maxContexts = 5
)

// ErrContextExpired is for Config.Contexts: the context was good once.
var ErrContextExpired = errors.New("the context assertion has expired")

// providedContext reads ProvidedContexts.member.N: whom the session is to act for, and whether any
// context was given. How AWS words a context that does not hold is not published; a client has to
// live with any refusal that is about its request.
func (s *Server) providedContext(f form) (person *sigv4.Person, given bool, err error) {
	count := 0
	providers := map[string]bool{}
	for n := 1; n <= maxContexts; n++ {
		prefix := "ProvidedContexts.member." + strconv.Itoa(n)
		if _, found := f[prefix+".ProviderArn"]; !found {
			break
		}
		count++
		assertion := f.get(prefix + ".ContextAssertion")
		if len(assertion) < minContext || len(assertion) > maxContext {
			return nil, false, validation("1 validation error detected: Value at 'providedContexts." + strconv.Itoa(n) +
				".member.contextAssertion' failed to satisfy constraint: Member must have length between 4 and 2048")
		}
		provider := f.get(prefix + ".ProviderArn")
		open, known := s.config.Contexts[provider]
		if !known {
			return nil, false, validation("Invalid context provider: " + provider)
		}
		// An identity context and an audit context exclude each other.
		if providers[provider] {
			return nil, false, validation("More than one context of " + provider + " was given")
		}
		providers[provider] = true
		opened, err := open(assertion)
		switch {
		case errors.Is(err, ErrContextExpired):
			return nil, false, expiredToken("The context assertion has expired")
		case err != nil:
			return nil, false, &Error{Code: "InvalidContextAssertion", Message: "The context assertion is not valid", Status: http.StatusBadRequest, cause: err}
		}
		if opened != nil {
			person = opened
		}
	}
	if f.members("ProvidedContexts") != 2*count {
		return nil, false, validation("contexts are given as ProvidedContexts.member.1.ProviderArn and .ContextAssertion, at most 5")
	}
	return person, count > 0, nil
}
