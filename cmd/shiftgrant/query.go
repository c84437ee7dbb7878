package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/shiftgrant/shiftgrant/internal/login"
)

// formats are the media types of what can be asked for.
var formats = map[string]string{
	"table": "application/x-ndjson", "records": "application/x-ndjson", "csv": "text/csv", "json": "application/json", "ndjson": "application/x-ndjson",
	"arrow": "application/vnd.apache.arrow.stream",
}

// formatNames are the formats in the order in which they are told.
var formatNames = []string{"table", "records", "csv", "json", "ndjson", "arrow"}

type queryOptions struct {
	profile    *string
	file       string
	output     string
	parameters []string
	nulls      []string
	warehouse  string
	format     string
	maxRows    int64
	timeout    time.Duration
	background bool
}

func newQuery() *cobra.Command {
	var options queryOptions
	command := &cobra.Command{
		Use:   "query [SQL]",
		Short: "Run one SQL statement as yourself and print its rows",
		Long: `Run one SQL statement as yourself and print its rows: a table on a terminal, CSV into a pipe or a
file. The statement is the argument, or a file's content, or what comes on standard input.

Give values as parameters (:name in the statement), never by gluing them in. A result that is not
whole is a failure. Ctrl-C cancels the statement in Redshift, and so does the end of --timeout.

With --background the gateway keeps the statement and its rows, and is asked again when the connection
is cut: for statements of many minutes, and where a proxy cuts what is silent.

Exit codes: 0 done, 1 failed, 2 the command line is wrong, 3 sign in first, 4 Redshift refused the
statement, 5 the result is not whole, 124 timed out, 130 interrupted.`,
		Example: `  shiftgrant query 'select current_user'
  shiftgrant query -f sales.sql --param state=NY --null city -o sales.csv
  echo 'select * from tickit.category' | shiftgrant query --format ndjson`,
		Args: func(command *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usage(command, "the statement is one argument: put quotes around it")
			}
			return nil
		},
		RunE: func(command *cobra.Command, args []string) error {
			return runQuery(command, options, args)
		},
	}
	options.profile = withProfile(command)
	flags := command.Flags()
	flags.StringVarP(&options.file, "file", "f", "", "read the statement from this `file`; - is standard input")
	flags.StringVarP(&options.output, "output", "o", "", "write the rows to this `file`, once all are there")
	flags.StringArrayVar(&options.parameters, "param", nil, "a value, as `name=value`; give it again for more")
	flags.StringArrayVar(&options.nulls, "null", nil, "a parameter by `name` that is NULL")
	flags.StringVar(&options.warehouse, "warehouse", "", "`name` of the warehouse (default: the login's)")
	flags.StringVar(&options.format, "format", "", "`format`: "+strings.Join(formatNames, ", ")+" (default: table on a terminal, csv otherwise)")
	flags.Int64Var(&options.maxRows, "max-rows", 0, "stop after so many `rows`")
	flags.BoolVar(&options.background, "background", false, "go on in the gateway when the connection is cut")
	flags.DurationVar(&options.timeout, "timeout", 0, "cancel the statement after this `time`, such as 90s or 5m")
	completeWords(command, "format", formatNames...)
	completeWarehouses(command, options.profile)
	return command
}

func runQuery(command *cobra.Command, options queryOptions, args []string) error {
	if err := options.chooseFormat(command); err != nil {
		return err
	}
	statement, err := options.statement(command, args)
	if err != nil {
		return err
	}
	body, err := options.body(command, statement)
	if err != nil {
		return err
	}
	session, err := openSession(*options.profile)
	if err != nil {
		return err
	}
	out, keep, err := options.openOutput(command)
	if err != nil {
		return err
	}
	ctx, messages := command.Context(), command.ErrOrStderr()
	if options.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, options.timeout, errTimedOut)
		defer cancel()
	}
	progress := startProgress(ctx, messages, options.forPeople() || !isTerminal(out))
	end, err := ask(ctx, session, body, out, options, progress)
	progress.stop()
	if err != nil {
		return keep(explainQuery(ctx, err, statement, session.Login()))
	}
	return keep(end.judge(messages, options.maxRows))
}

// ask runs the statement and prints its rows.
func ask(ctx context.Context, session *login.Session, body []byte, out io.Writer, options queryOptions, progress *progress) (resultEnd, error) {
	accept := formats[options.format]
	start := func() (*http.Response, error) {
		return call(ctx, session, login.Request{Method: http.MethodPost, Path: "/v1/query", Accept: accept, Body: body})
	}
	if options.background {
		start = func() (*http.Response, error) {
			return newBackgroundStatement(session, body, accept, progress).ask(ctx)
		}
	}
	response, err := start()
	if err != nil {
		return resultEnd{}, err
	}
	defer response.Body.Close()
	if options.forPeople() {
		return printTable(out, response, options.format, progress)
	}
	return copyResult(out, response, options.format, progress)
}

func (o *queryOptions) forPeople() bool { return o.format == "table" || o.format == "records" }

// chooseFormat takes what was asked for, or what fits where the rows go.
func (o *queryOptions) chooseFormat(command *cobra.Command) error {
	terminal := o.output == "" && isTerminal(command.OutOrStdout())
	if o.format == "" {
		o.format = "csv"
		if ending := strings.TrimPrefix(filepath.Ext(o.output), "."); formats[ending] != "" {
			o.format = ending
		}
		if terminal {
			o.format = "table"
		}
	}
	switch {
	case formats[o.format] == "":
		return usage(command, "--format: write one of: "+strings.Join(formatNames, ", "))
	case o.format == "arrow" && terminal:
		return usage(command, "Arrow is not for a terminal: give a file with --output, or a pipe")
	case o.timeout < 0:
		return usage(command, "--timeout: give a time such as 90s or 5m")
	}
	return nil
}

// body is the request, with the statement and its parameters.
func (o *queryOptions) body(command *cobra.Command, statement string) ([]byte, error) {
	if strings.TrimSpace(statement) == "" {
		return nil, usage(command, "the statement is empty")
	}
	type parameter struct {
		Name  string  `json:"name"`
		Value *string `json:"value"`
	}
	document := struct {
		Query      string      `json:"query,omitempty"`
		SQL        string      `json:"sql,omitempty"` // what the query is called in the background
		Parameters []parameter `json:"parameters,omitempty"`
		Warehouse  string      `json:"warehouse,omitempty"`
		MaxRows    int64       `json:"max_rows,omitempty"`
		Wait       string      `json:"wait,omitempty"`
		OnTimeout  string      `json:"on_timeout,omitempty"`
		RequestID  string      `json:"request_id,omitempty"`
	}{Query: statement, Warehouse: o.warehouse, MaxRows: o.maxRows}
	if o.background {
		document.Query, document.SQL = "", statement
		document.Wait, document.OnTimeout, document.RequestID = "0s", "continue", rand.Text()
	}
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
		return withoutMark(content), nil
	}
	in := command.InOrStdin()
	if file, isFile := in.(*os.File); isFile && o.file == "" && isTerminal(file) {
		return "", usage(command, "SQL is missing: give it as the argument, with -f, or on standard input")
	}
	content, err := io.ReadAll(in)
	if err != nil {
		return "", fmt.Errorf("read the statement: %w", err)
	}
	return withoutMark(content), nil
}

// withoutMark leaves out the byte order mark that some editors begin a file with.
func withoutMark(content []byte) string { return strings.TrimPrefix(string(content), "\ufeff") }
