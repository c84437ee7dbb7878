package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/shiftgrant/shiftgrant/connect"
	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/login"
)

// A resultEnd is what a result says of itself when it is whole.
type resultEnd struct {
	rows      int64
	truncated bool
}

// errNotWhole says that rows are missing.
var errNotWhole = errors.New("the result is not whole")

// judge makes rows that were left out a failure, unless the person asked for that.
func (e resultEnd) judge(messages io.Writer, maxRows int64) error {
	switch {
	case e.truncated && maxRows > 0 && e.rows == maxRows:
		fmt.Fprintf(messages, "Stopped after %d rows, as --max-rows says; there are more.\n", e.rows)
	case e.truncated:
		return fmt.Errorf("%w: a limit of the gateway ended it after %d rows", errNotWhole, e.rows)
	}
	return nil
}

var errTimedOut = errors.New("timed out")

// An interruptedError says what became of the statement; it is the end of a context.
type interruptedError struct{ timeout bool }

func (e *interruptedError) Error() string {
	if e.timeout {
		return "timed out: the statement was cancelled; give it longer with --timeout"
	}
	return "interrupted: the statement was cancelled"
}

func (e *interruptedError) Unwrap() error {
	if e.timeout {
		return errTimedOut
	}
	return context.Canceled
}

// explainQuery tells the ends of a statement apart, for the exit code too.
func explainQuery(ctx context.Context, err error, statement string, l login.Login) error {
	if ctx.Err() != nil {
		return &interruptedError{timeout: errors.Is(context.Cause(ctx), errTimedOut)}
	}
	if errors.Is(err, connect.ErrCut) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: %w", errNotWhole, err)
	}
	var problem *connect.APIError
	if !errors.As(err, &problem) {
		return err
	}
	more := pointAt(statement, problem.Position)
	if problem.Hint != "" {
		more += "\n  hint: " + printable(problem.Hint)
	}
	if problem.Status == http.StatusForbidden && strings.Contains(problem.Detail, grant.ScopeWrite) && !grant.Scopes(l.Scopes).Has(grant.ScopeWrite) {
		more += "\n  to change data, sign in again: " + loginCommand(l, grant.ScopeWrite)
	}
	if more == "" {
		return err
	}
	return fmt.Errorf("%w%s", err, more)
}

// pointAt shows the line of a statement in which an error is, and where in it.
func pointAt(statement string, position int) string {
	characters := []rune(strings.ReplaceAll(statement, "\r\n", " \n"))
	if position < 1 || position > len(characters)+1 {
		return ""
	}
	before, after := string(characters[:position-1]), string(characters[position-1:])
	number := strings.Count(before, "\n") + 1
	before = before[strings.LastIndexByte(before, '\n')+1:]
	after, _, _ = strings.Cut(after, "\n")
	after = strings.TrimRight(after, " ")
	// As much of a long line as shows where it is.
	if most := 60; places(before) > most {
		cut := []rune(before)
		before = "…" + string(cut[max(0, len(cut)-most):])
	}
	label := fmt.Sprintf("  line %d: ", number)
	shown := printable(strings.ReplaceAll(before, "\t", " "))
	return "\n" + label + shown + shorten(printable(strings.ReplaceAll(after, "\t", " ")), 60) + "\n" + strings.Repeat(" ", places(label+shown)) + "^"
}

// isRefusal reports whether Redshift, or the gateway for it, refused the statement itself.
func isRefusal(err error) bool {
	var problem *connect.APIError
	return errors.As(err, &problem) && (problem.SQLState != "" || slices.Contains([]int{http.StatusBadRequest, http.StatusForbidden, http.StatusUnprocessableEntity}, problem.Status))
}
