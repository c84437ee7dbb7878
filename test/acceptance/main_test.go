// Package acceptance attacks a gateway from outside and prints a table of what came of it: one row
// for each attack of the threat model, T01 to T28.
//
// By default it starts a world of its own: two gateways, processes of the real program, on one
// PostgreSQL, and the twin as IdP, AWS and Redshift. With SHIFTGRANT_ACCEPTANCE_URL it attacks
// somebody else's server, and rows that need our own world say so. docs/acceptance.md tells how.
//
// Each row is a function in the file named by its subject. A row counts what it tries, so that one
// that tries nothing does not pass.
package acceptance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// rows in the order in which they run. The canaries come last: they look for the secrets of all
// rows before them.
var rows = []row{
	{id: "T01", title: "Redirect vectors", try: redirectVectors},
	{id: "T02", title: "PKCE matrix", try: pkceMatrix},
	{id: "T03", title: "Code used once, in parallel", try: singleUse},
	{id: "T04", title: "Cross-client binding", try: crossClientBinding},
	{id: "T05", title: "Rotation: lost answers", try: lostAnswers},
	{id: "T06", title: "Rotation: theft", try: rotationTheft},
	{id: "T07", title: "Rotation: two tabs, kill -9", own: "it kills gateways", try: rotationKilled},
	{id: "T08", title: "Upstream single flight", own: "it needs an IdP of its own", try: upstreamSingleFlight},
	{id: "T09", title: "Read-only SQL vectors", own: "it compares dumps of the database", try: readOnlyVectors},
	{id: "T10", title: "User-SQL call path", own: "it needs the two warehouses of our world", try: userSQLPath},
	{id: "T12", title: "Revocation latency", own: "it disables a person and removes an app", try: revocationReaches},
	{id: "T13", title: "Outbound requests", try: outboundRequests},
	{id: "T14", title: "Audience, issuer and scope", try: accessMatrix},
	{id: "T15", title: "ID-token mutations", own: "it needs an IdP of its own", try: idTokenMutations},
	{id: "T16", title: "State and session binding", own: "it needs an IdP of its own", try: signInBinding},
	{id: "T17", title: "Revocation endpoint", try: revocationEndpoint},
	{id: "T18", title: "JSON strictness", try: jsonStrictness},
	{id: "T21", title: "Headers and frames", try: headersAndFrames},
	{id: "T22", title: "Isolation of people and apps", own: "it needs two people and a look into the database", try: isolation},
	{id: "T23", title: "Token mutations", try: tokenMutations},
	{id: "T19", title: "Parameter pollution", try: parameterPollution},
	{id: "T20", title: "Error hygiene", try: errorHygiene},
	{id: "T25", title: "Host and forwarded headers", try: hostSweep},
	{id: "T26", title: "Cancel on disconnect, orphans", own: "it looks into the database and kills gateways", try: cancelled},
	{id: "T28", title: "Overload", own: "it measures the memory of the process", try: overload},
	{id: "T11", title: "Secret canaries", own: "it reads logs, files and the database", try: secretCanaries},
}

// A row is one attack.
type row struct {
	id, title string
	own       string // why it needs a world of its own; "" where it runs against any server
	try       func(*attempt)
}

// An attempt counts what a row tries.
type attempt struct {
	*testing.T
	*target
	passed, total int
	notRun        string
	took          time.Duration
}

// check counts one case of the row.
func (a *attempt) check(passed bool, format string, arguments ...any) {
	a.Helper()
	a.total++
	if passed {
		a.passed++
		return
	}
	a.Errorf(format, arguments...)
}

func (a *attempt) must(err error) {
	a.Helper()
	if err != nil {
		a.Fatal(err)
	}
}

// bar is the time that something may take. Beside all other tests, on a machine that does more at
// once than it can, it is thrice that.
func bar(exact time.Duration) time.Duration { return long(3*exact, exact) }

// long chooses between the form of `make acceptance` and the short one that runs with the other
// tests.
func long[T any](short, long T) T {
	if os.Getenv("SHIFTGRANT_ACCEPTANCE") == "long" {
		return long
	}
	return short
}

var (
	binary string // the product, built by TestMain
	folder string // of everything that is started here
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	if folder, err = os.MkdirTemp("", "shiftgrant-acceptance-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	// The twin's PostgreSQL does not run as root, and has to get through to its folder.
	if err := os.Chmod(folder, 0o711); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	binary = filepath.Join(folder, "shiftgrant")
	build := exec.Command("go", "build", "-o", binary, "../../cmd/shiftgrant")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build shiftgrant: %v\n%s", err, output)
		return 1
	}
	return m.Run()
}

func TestAcceptance(t *testing.T) {
	attacked := chooseTarget(t)
	attempts := map[string]*attempt{}
	t.Cleanup(func() { fmt.Println("\n" + table(attempts)) })
	for _, row := range rows {
		t.Run(row.id, func(t *testing.T) {
			a := &attempt{T: t, target: attacked}
			attempts[row.id] = a
			if attacked.world == nil && row.own != "" {
				a.notRun = row.own
				t.Skip("not run here: " + row.own)
			}
			started := time.Now()
			defer func() { a.took = time.Since(started) }()
			row.try(a)
			if a.total == 0 {
				t.Error("the row tried nothing")
			}
		})
	}
}

// table is what `make acceptance` ends with.
func table(attempts map[string]*attempt) string {
	var lines strings.Builder
	var passed, failed, notRun int
	for number := 1; number <= 30; number++ {
		for _, row := range rows {
			a := attempts[row.id]
			if row.id != fmt.Sprintf("T%02d", number) || a == nil {
				continue
			}
			result := fmt.Sprintf("pass (%d of %d)", a.passed, a.total)
			switch {
			case a.notRun != "":
				result = "not run here: " + a.notRun
				notRun++
			case a.Failed():
				result = fmt.Sprintf("FAIL (%d of %d)", a.passed, a.total)
				failed++
			default:
				passed++
			}
			line := fmt.Sprintf("%s %-32s %-24s %5.1fs", row.id, row.title, result, a.took.Seconds())
			if a.notRun != "" {
				line = fmt.Sprintf("%s %-32s %s", row.id, row.title, result)
			}
			fmt.Fprintln(&lines, line)
		}
	}
	fmt.Fprintf(&lines, "\n%d passed, %d failed, %d not run\n", passed, failed, notRun)
	return lines.String()
}
