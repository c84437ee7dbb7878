// Package script lets a test tell a service of the twin what to answer, so that every refusal of
// AWS can be seen without arranging the account that leads to it.
package script

import (
	"net/http"
	"sync"
)

// A Refusal is an answer in place of the real one.
type Refusal struct {
	Status  int // 0 is 400
	Code    string
	Message string
}

// AccessDenied is what IAM's policies say in the services that speak JSON; those that speak XML
// name it AccessDenied.
var AccessDenied = Refusal{http.StatusBadRequest, "AccessDeniedException", "User is not authorized to perform this action because no identity-based policy allows it"}

// A Script is what a service has been told. The zero value lets everything happen as it would.
type Script struct {
	mu       sync.Mutex
	refusals map[string]Refusal
	calls    map[string]int
}

// Refuse has an operation refused from now on.
func (s *Script) Refuse(operation string, with Refusal) {
	if with.Status == 0 {
		with.Status = http.StatusBadRequest
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refusals == nil {
		s.refusals = map[string]Refusal{}
	}
	s.refusals[operation] = with
}

// Reset forgets refusals and counts.
func (s *Script) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusals, s.calls = nil, nil
}

// Calls is how often an operation was asked for, refused or not.
func (s *Script) Calls(operation string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[operation]
}

// Next is for services: it counts a call and says whether to refuse it.
func (s *Script) Next(operation string) (Refusal, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls == nil {
		s.calls = map[string]int{}
	}
	s.calls[operation]++
	refusal, refused := s.refusals[operation]
	return refusal, refused
}
