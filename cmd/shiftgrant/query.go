package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/shiftgrant/shiftgrant/connect"
	"github.com/shiftgrant/shiftgrant/internal/login"
)

// formats are the media types of what can be asked for.
var formats = map[string]string{
	"table": "application/x-ndjson", "csv": "text/csv", "json": "application/json", "ndjson": "application/x-ndjson",
	"arrow": "application/vnd.apache.arrow.stream",
}

type queryOptions struct {
	profile    *string
	file       string
	parameters []string
	nulls      []string
	warehouse  string
	format     string
	maxRows    int64
}

func newQuery() *cobra.Command {
	var options queryOptions
	command := &cobra.Command{
		Use:   "query [SQL]",
		Short: "Run one SQL statement as yourself and print its rows",
		Long: `Run one SQL statement as yourself and print its rows: a table on a terminal, CSV into a pipe or a
file. The statement is the argument, or a file's content, or what comes on standard input.

Give values as parameters (:name in the statement), never by gluing them in. A result that is not
whole is a failure. Ctrl-C cancels the statement in Redshift.

Exit codes: 0 done, 1 failed, 2 the command line is wrong, 3 sign in first, 4 Redshift refused the
statement, 5 the result is not whole, 130 interrupted.`,
		Example: `  shiftgrant query 'select current_user'
  shiftgrant query -f sales.sql --param state=NY --param seats=20000 > sales.csv
  echo 'select * from tickit.category' | shiftgrant query --format ndjson`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			return runQuery(command, options, args)
		},
	}
	options.profile = withProfile(command)
	flags := command.Flags()
	flags.StringVarP(&options.file, "file", "f", "", "read the statement from this `file`; - is standard input")
	flags.StringArrayVar(&options.parameters, "param", nil, "a value, as `name=value`; give it again for more")
	flags.StringArrayVar(&options.nulls, "null", nil, "a parameter by `name` that is NULL")
	flags.StringVar(&options.warehouse, "warehouse", "", "`name` of the warehouse (default: the login's)")
	flags.StringVar(&options.format, "format", "", "table, csv, json, ndjson or arrow (default: table on a terminal, csv otherwise)")
	flags.Int64Var(&options.maxRows, "max-rows", 0, "stop after so many rows")
	_ = command.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"table", "csv", "json", "ndjson", "arrow"}, cobra.ShellCompDirectiveNoFileComp))
	return command
}

func runQuery(command *cobra.Command, options queryOptions, args []string) error {
	if options.format == "" {
		options.format = "csv"
		if isTerminal(command.OutOrStdout()) {
			options.format = "table"
		}
	}
	if formats[options.format] == "" {
		return usage(command, "--format: write one of: table, csv, json, ndjson, arrow")
	}
	body, err := options.body(command, args)
	if err != nil {
		return err
	}
	session, err := openSession(*options.profile)
	if err != nil {
		return err
	}
	ctx, out, messages := command.Context(), command.OutOrStdout(), command.ErrOrStderr()
	progress := startProgress(ctx, messages, options.format == "table" || !isTerminal(out))
	defer progress.stop()
	response, err := call(ctx, session, login.Request{Method: http.MethodPost, Path: "/v1/query", Accept: formats[options.format], Body: body})
	if err != nil {
		return explainQuery(ctx, err)
	}
	defer response.Body.Close()
	print := copyResult
	if options.format == "table" {
		print = printTable
	}
	end, err := print(out, response, options.format, progress)
	progress.stop()
	if err != nil {
		return explainQuery(ctx, err)
	}
	return end.judge(messages, options.maxRows)
}

// body is the request, with the statement and its parameters.
func (o *queryOptions) body(command *cobra.Command, args []string) ([]byte, error) {
	statement, err := o.statement(command, args)
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(statement) == "" {
		return nil, usage(command, "the statement is empty")
	}
	type parameter struct {
		Name  string  `json:"name"`
		Value *string `json:"value"`
	}
	document := struct {
		Query      string      `json:"query"`
		Parameters []parameter `json:"parameters,omitempty"`
		Warehouse  string      `json:"warehouse,omitempty"`
		MaxRows    int64       `json:"max_rows,omitempty"`
	}{Query: statement, Warehouse: o.warehouse, MaxRows: o.maxRows}
	if o.maxRows < 0 {
		return nil, usage(command, "--max-rows: give a number from 1 on")
	}
	for _, given := range o.parameters {
		name, value, found := strings.Cut(given, "=")
		if !found || name == "" {
			return nil, usage(command, "--param: write it as name=value")
		}
		document.Parameters = append(document.Parameters, parameter{name, &value})
	}
	for _, name := range o.nulls {
		document.Parameters = append(document.Parameters, parameter{name, nil})
	}
	return json.Marshal(document)
}

// statement comes from one place.
func (o *queryOptions) statement(command *cobra.Command, args []string) (string, error) {
	switch {
	case len(args) == 1 && o.file != "":
		return "", usage(command, "give the statement as the argument or as a file, not both")
	case len(args) == 1:
		return args[0], nil
	case o.file != "" && o.file != "-":
		content, err := os.ReadFile(o.file)
		if err != nil {
			return "", fmt.Errorf("read the statement: %w", err)
		}
		return string(content), nil
	}
	in := command.InOrStdin()
	if file, isFile := in.(*os.File); isFile && o.file == "" && isTerminal(file) {
		return "", usage(command, "SQL is missing: give it as the argument, with -f, or on standard input")
	}
	content, err := io.ReadAll(in)
	if err != nil {
		return "", fmt.Errorf("read the statement: %w", err)
	}
	return string(content), nil
}

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

// explainQuery tells the ends of a statement apart, for the exit code too.
func explainQuery(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("interrupted: the statement was cancelled: %w", context.Canceled)
	}
	if errors.Is(err, connect.ErrCut) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: %w", errNotWhole, err)
	}
	return err
}

// isRefusal reports whether Redshift, or the gateway for it, refused the statement itself.
func isRefusal(err error) bool {
	var problem *connect.APIError
	return errors.As(err, &problem) && (problem.SQLState != "" || slices.Contains([]int{http.StatusBadRequest, http.StatusForbidden, http.StatusUnprocessableEntity}, problem.Status))
}
