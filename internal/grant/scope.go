package grant

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The scopes an app can ask for, beside WarehouseScope.
const (
	ScopeRead    = "sql:read"       // run statements that only read
	ScopeWrite   = "sql:write"      // run any statement the person may
	ScopeOffline = "offline_access" // keep access while the person is away: a refresh token
	ScopeOpenID  = "openid"         // an ID token
	ScopeEmail   = "email"
	ScopeProfile = "profile"

	// ScopeCredentials is for temporary credentials of the person that work outside of the gateway. It
	// is for apps that are registered for it by name, on warehouses whose operator gives them.
	ScopeCredentials = "credentials"

	warehousePrefix = "warehouse:"
)

// KnownScopes is the fixed part of scopes_supported: what any app may ask for.
var KnownScopes = Scopes{ScopeRead, ScopeWrite, ScopeOffline, ScopeOpenID, ScopeEmail, ScopeProfile}

// WarehouseScope names the warehouse an app asks for: "warehouse:sales".
func WarehouseScope(name string) string { return warehousePrefix + name }

// Scopes is a set of scopes, in the order asked for, without duplicates.
type Scopes []string

// ErrScope is wrapped by every refusal of a scope value.
var ErrScope = errors.New("invalid scope")

// ParseScopes reads a space-separated list (RFC 6749 §3.3). The characters of a scope are
// limited to %x21 / %x23-5B / %x5D-7E.
func ParseScopes(list string) (Scopes, error) {
	if list == "" {
		return nil, nil
	}
	var scopes Scopes
	for scope := range strings.SplitSeq(list, " ") {
		if scope == "" {
			return nil, fmt.Errorf("%w: separate scopes with one space", ErrScope)
		}
		for i := range len(scope) {
			if c := scope[i]; c < 0x21 || c > 0x7e || c == '"' || c == '\\' {
				return nil, fmt.Errorf("%w: a scope has a character that RFC 6749 section 3.3 does not allow", ErrScope)
			}
		}
		if !slices.Contains(scopes, scope) {
			scopes = append(scopes, scope)
		}
	}
	return scopes, nil
}

// String is the space-separated list.
func (s Scopes) String() string { return strings.Join(s, " ") }

// Has reports whether a scope is in the set.
func (s Scopes) Has(scope string) bool { return slices.Contains(s, scope) }

// Within reports whether every scope of s is also in wider.
func (s Scopes) Within(wider Scopes) bool {
	return !slices.ContainsFunc(s, func(scope string) bool { return !wider.Has(scope) })
}

// Warehouses lists the warehouses named by the set.
func (s Scopes) Warehouses() []string {
	var names []string
	for _, scope := range s {
		if name, ok := strings.CutPrefix(scope, warehousePrefix); ok {
			names = append(names, name)
		}
	}
	return names
}
