package sqlapi

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/encode"
	"github.com/shiftgrant/shiftgrant/internal/warehouse"
	"github.com/shiftgrant/shiftgrant/internal/web"
	"github.com/shiftgrant/shiftgrant/redshift"
)

// A problemError is a refusal by this package, in words for the caller.
type problemError struct {
	web.Problem
	retryAfter time.Duration
}

func (e *problemError) Error() string { return e.Type + ": " + e.Detail }

func badRequest(detail string) error {
	return &problemError{Problem: web.Problem{Type: "invalid-request", Status: http.StatusBadRequest, Detail: detail}}
}

// errUnknownStatement is the answer for an id that never was, one of somebody else, and one that
// is malformed: it must be the same.
var errUnknownStatement = &problemError{Problem: web.Problem{
	Type: "unknown-statement", Status: http.StatusNotFound, Detail: "There is no such statement.",
}}

var errGone = &problemError{Problem: web.Problem{
	Type: "statement-gone", Status: http.StatusGone, Detail: "The rows of this statement are not kept any longer. Run it again.",
}}

// problemOf translates an error once for all routes and formats. Only words that are ours, or
// that Redshift wrote for the author of the SQL, leave the gateway.
func problemOf(err error) (problem web.Problem, retryAfter time.Duration) {
	var ours *problemError
	var sql *redshift.Error
	var refused *warehouse.RefusedError
	var scope *warehouse.ScopeError
	var busy *redshift.BusyError
	var access *redshift.AccessError
	var tooLarge *redshift.TooLargeError
	switch {
	case errors.As(err, &ours):
		return ours.Problem, ours.retryAfter
	case errors.As(err, &sql):
		return sqlProblem(sql), 0
	case errors.As(err, &refused):
		return web.Problem{Type: "statement-refused", Status: http.StatusBadRequest, Title: "The statement cannot be sent", Detail: sentence(refused.What), Position: refused.At}, 0
	case errors.As(err, &scope):
		return scopeProblem(scope), 0
	case errors.Is(err, encode.ErrNotAcceptable):
		return web.Problem{Type: "not-acceptable", Status: http.StatusNotAcceptable, Detail: "Accept one of " + strings.Join(encode.MediaTypes(), ", ") + "."}, 0
	case errors.Is(err, encode.ErrCodingNotAcceptable):
		return web.Problem{Type: "not-acceptable", Status: http.StatusNotAcceptable, Detail: "Accept-Encoding forbids a result as it is; allow identity, gzip or zstd."}, 0
	case errors.Is(err, warehouse.ErrUnknown):
		return web.Problem{Type: "unknown-warehouse", Status: http.StatusForbidden, Detail: "This token is not for such a warehouse. GET /v1/warehouses lists what it is for."}, 0
	case errors.Is(err, warehouse.ErrTimeout):
		return web.Problem{Type: "statement-timeout", Status: http.StatusGatewayTimeout, Detail: "The statement ran longer than this gateway allows and was cancelled."}, 0
	case errors.Is(err, warehouse.ErrRevoked):
		return revoked, 0
	case errors.Is(err, warehouse.ErrLiveness):
		return unavailable("Nothing was run, because the token cannot be checked at the moment. Keep it, and try again."), 5 * time.Second
	case errors.Is(err, warehouse.ErrNotDetached):
		return web.Problem{Type: "not-detached", Status: http.StatusNotImplemented, Detail: "This warehouse cannot run statements in the background. Use POST /v1/query."}, 0
	case errors.As(err, &tooLarge):
		return web.Problem{
			Type: "result-too-large", Status: http.StatusUnprocessableEntity, Title: "The result is too large to be kept",
			Detail: "The statement was cancelled: this gateway keeps " + tooLarge.Limit + ". POST /v1/query streams a result of any size; max_rows makes it smaller.",
		}, 0
	case errors.Is(err, redshift.ErrRowTooLarge):
		return web.Problem{Type: "row-too-large", Status: http.StatusRequestEntityTooLarge, Title: "A row of the result is too large", Detail: "One row may have 64 MiB in all. Select less of it."}, 0
	case errors.Is(err, redshift.ErrNoPartition):
		return web.Problem{Type: "unknown-partition", Status: http.StatusNotFound, Detail: "The result has no such partition. GET /v1/statements/{id} lists those it has; without partition, all rows come."}, 0
	case errors.Is(err, redshift.ErrForgotten):
		return web.Problem{Type: "statement-lost", Status: http.StatusConflict, Detail: "This request_id was used before, and the gateway stopped before it could note whether the statement ran. See what it has done, then send it with a new request_id."}, 0
	case errors.Is(err, redshift.ErrCanceled):
		return web.Problem{Type: "statement-canceled", Status: http.StatusConflict, Detail: "The statement was cancelled before it ended."}, 0
	case errors.Is(err, redshift.ErrRunning):
		return web.Problem{Type: "statement-running", Status: http.StatusConflict, Detail: "The statement is still running. Ask again."}, time.Second
	case errors.Is(err, redshift.ErrNotFound):
		return errGone.Problem, 0
	case errors.As(err, &busy):
		return web.Problem{Type: "busy", Status: http.StatusTooManyRequests, Detail: "Too much at once: " + busy.Limit + ". Nothing was run; try again."}, max(busy.RetryAfter, time.Second)
	case errors.As(err, &access):
		return web.Problem{
			Type: "warehouse-access", Status: http.StatusBadGateway, Title: "The gateway got no access to the warehouse",
			Detail: "This is a matter of the gateway's set-up, not of your statement. Its operator finds the reason in the log under this request id.",
		}, 0
	case errors.Is(err, warehouse.ErrAudit), errors.Is(err, errStore):
		return unavailable("Nothing was run, because it could not be recorded. Try again."), 5 * time.Second
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return unavailable("The request ended before the statement did."), time.Second
	}
	return web.Problem{
		Type: "warehouse-failed", Status: http.StatusBadGateway, Title: "The warehouse could not be asked",
		Detail: "Something between the gateway and the warehouse failed. The operator finds it in the log under this request id.",
	}, 0
}

// revoked is what a running statement ends with when somebody takes its access away.
var revoked = web.Problem{
	Type: "invalid-token", Status: http.StatusUnauthorized, Title: "The access has ended",
	Detail: "The access token, or the grant behind it, ended before the statement did, and the statement was cancelled. Connect again.",
}

func unavailable(detail string) web.Problem {
	return web.Problem{Type: "unavailable", Status: http.StatusServiceUnavailable, Detail: detail}
}

// sqlProblem hands Redshift's own words to the author of the SQL.
func sqlProblem(err *redshift.Error) web.Problem {
	detail := err.Message
	if err.Detail != "" {
		detail += ". " + err.Detail
	}
	return web.Problem{
		Type: "sql", Status: http.StatusUnprocessableEntity, Title: "Redshift refused the statement", Detail: detail,
		SQLState: err.SQLState, Position: err.Position, Hint: err.Hint,
	}
}

func scopeProblem(err *warehouse.ScopeError) web.Problem {
	problem := web.Problem{Type: "insufficient-scope", Status: http.StatusForbidden, Title: "The token does not allow this statement"}
	if err.ReadOnly {
		problem.Type = "read-only"
		problem.Detail = "This connection only reads: " + sentence(err.Why)
		return problem
	}
	problem.Detail = "The scope " + err.Needs.String() + " is needed: " + sentence(err.Why)
	return problem
}

func sentence(words string) string { return words + "." }

// writeError answers with a problem document.
func (a *API) writeError(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		// Nobody is there to be answered; the log has the request all the same.
		a.config.Logger.Info("the app went away", "error", err, "request_id", web.RequestID(r.Context()))
	}
	problem, retryAfter := a.explain(r.Context(), err)
	if retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(retryAfter.Seconds()))))
	}
	var scope *warehouse.ScopeError
	if errors.As(err, &scope) && !scope.ReadOnly {
		challenge := web.Challenge{
			ResourceMetadata: a.config.ResourceMetadata, Error: web.InsufficientScope,
			Description: "The statement needs more than the token allows", Scope: scope.Needs.String(),
		}
		challenge.Write(w, r, problem)
		return
	}
	if errors.Is(err, warehouse.ErrRevoked) {
		challenge := web.Challenge{ResourceMetadata: a.config.ResourceMetadata, Error: web.InvalidToken, Description: "The access token has been revoked"}
		challenge.Write(w, r, problem)
		return
	}
	web.WriteProblem(w, r, problem)
}

// explain translates an error and keeps in the log what the caller is not told.
func (a *API) explain(ctx context.Context, err error) (web.Problem, time.Duration) {
	problem, retryAfter := problemOf(err)
	if problem.Status >= 500 && ctx.Err() == nil { // an app that went away is no failure of ours
		a.config.Logger.Error("request failed", "error", err, "status", problem.Status, "request_id", web.RequestID(ctx))
	}
	return problem, retryAfter
}
