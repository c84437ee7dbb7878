package oauth

import (
	"slices"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

// DefaultScope is what a request without scope asks for (TK-12). It is documented.
const DefaultScope = grant.ScopeRead

// resolveScopes completes and checks what an app asks for: the default scope, the app's
// allowed scopes, and the one warehouse. The answer always names its warehouse, so that the
// token response tells the app what it got.
func (s *Server) resolveScopes(app *grant.App, asked grant.Scopes) (grant.Scopes, string, *fault) {
	if len(asked) == 0 {
		asked = grant.Scopes{DefaultScope}
	}
	for _, scope := range asked {
		if !grant.KnownScopes.Has(scope) && !s.isWarehouseScope(scope) && scope != grant.ScopeCredentials {
			return nil, "", invalidScope("the scope names something that this gateway does not know; see scopes_supported in its metadata")
		}
	}
	if !asked.Has(grant.ScopeRead) && !asked.Has(grant.ScopeWrite) && !asked.Has(grant.ScopeOpenID) {
		return nil, "", invalidScope("the scope must have at least one of sql:read, sql:write and openid")
	}
	warehouse, f := s.resolveWarehouse(app, asked)
	if f != nil {
		return nil, "", f
	}
	granted := slices.Clone(asked)
	if warehouse != "" && !granted.Has(grant.WarehouseScope(warehouse)) {
		granted = append(granted, grant.WarehouseScope(warehouse))
	}
	if !s.mayAsk(app, granted) {
		return nil, "", invalidScope("this app is not registered for all of these scopes")
	}
	if granted.Has(grant.ScopeCredentials) && !s.warehouses[warehouse].GivesCredentials {
		return nil, "", invalidScope("no credentials are given for this warehouse; leave out the scope credentials")
	}
	return granted, warehouse, nil
}

func (s *Server) isWarehouseScope(scope string) bool {
	return slices.ContainsFunc(s.warehouseNames, func(name string) bool { return scope == grant.WarehouseScope(name) })
}

// resolveWarehouse finds the one warehouse of a request. A grant is for one: a person who says
// yes should know to what. A request that runs no SQL has none.
func (s *Server) resolveWarehouse(app *grant.App, asked grant.Scopes) (string, *fault) {
	named := asked.Warehouses()
	queries := asked.Has(grant.ScopeRead) || asked.Has(grant.ScopeWrite)
	switch {
	case len(named) > 1:
		return "", invalidScope("the scope names more than one warehouse; ask for one at a time")
	case len(named) == 1 && !queries:
		return "", invalidScope("add sql:read or sql:write to the scope that names a warehouse")
	case len(named) == 1:
		return named[0], nil
	case !queries:
		return "", nil
	}
	if allowed := app.Scopes.Warehouses(); len(allowed) == 1 && s.isWarehouseScope(grant.WarehouseScope(allowed[0])) {
		return allowed[0], nil
	}
	if s.defaultWarehouse != "" {
		return s.defaultWarehouse, nil
	}
	return "", invalidScope("add the warehouse to the scope, as in warehouse:NAME; there is more than one")
}

// mayAsk holds an app to its registration. No registered scopes means any, and no registered
// warehouse means any of them. The scope credentials is never among any: it has to be registered.
func (s *Server) mayAsk(app *grant.App, scopes grant.Scopes) bool {
	if scopes.Has(grant.ScopeCredentials) && !app.Scopes.Has(grant.ScopeCredentials) {
		return false
	}
	if len(app.Scopes) == 0 {
		return true
	}
	anyWarehouse := len(app.Scopes.Warehouses()) == 0
	return !slices.ContainsFunc(scopes, func(scope string) bool {
		return !app.Scopes.Has(scope) && !(anyWarehouse && s.isWarehouseScope(scope))
	})
}

// narrowScopes is the scope of one access token: what the app asks for within what it has
// (RFC 6749 §6). The warehouse stays, since a token for SQL is a token for that warehouse.
func narrowScopes(granted grant.Scopes, requested string) (grant.Scopes, *fault) {
	asked, err := grant.ParseScopes(requested)
	if err != nil || !asked.Within(granted) {
		return nil, invalidScope("a refresh can only ask for scopes that were granted")
	}
	if len(asked) == 0 {
		return granted, nil
	}
	if len(asked.Warehouses()) == 0 && (asked.Has(grant.ScopeRead) || asked.Has(grant.ScopeWrite)) {
		for _, name := range granted.Warehouses() {
			asked = append(asked, grant.WarehouseScope(name))
		}
	}
	return asked, nil
}
