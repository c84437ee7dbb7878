package main

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/shiftgrant/shiftgrant/internal/audit"
	"github.com/shiftgrant/shiftgrant/internal/gateway"
	"github.com/shiftgrant/shiftgrant/internal/grant"
)

func newAudit() *cobra.Command {
	command := &cobra.Command{
		Use:   "audit",
		Short: "Verify the audit record, and look at it",
	}
	var data string
	command.PersistentFlags().StringVar(&data, "data", "/var/lib/shiftgrant", "data `folder` of the gateway")
	command.AddCommand(newAuditVerify(&data), newAuditTail(&data))
	return command
}

func newAuditVerify(data *string) *cobra.Command {
	var keyFile string
	command := &cobra.Command{
		Use:   "verify [FILE…]",
		Short: "Check that no record was changed, taken out or put in",
		Long: `Check the chain of the records and the signatures of its heads, of the files given or of all
those of the data folder. The first record that does not belong where it is is named by file and
line, and the exit code is 1.

Records after the last signed head are chained and not signed yet: there are some for up to a
minute. Keep a head that is printed, or a copy of keys/audit.pub, on another machine.`,
		Example: `  shiftgrant audit verify --data /var/lib/shiftgrant
  shiftgrant audit verify --key audit.pub collected.jsonl`,
		RunE: func(command *cobra.Command, paths []string) error {
			record, public := gateway.AuditFiles(*data)
			files, err := audit.Arrange(paths)
			if len(paths) == 0 {
				files, err = audit.Files(record)
				keyFile = cmp.Or(keyFile, public)
			}
			if err != nil {
				return err
			}
			if len(files) == 0 {
				return fmt.Errorf("there is no audit record at %s: give its files, or its data folder with --data", record)
			}
			keys, err := readAuditKeys(keyFile)
			if err != nil {
				return err
			}
			return verifyAudit(command.OutOrStdout(), files, keys)
		},
	}
	command.Flags().StringVar(&keyFile, "key", "", "`file` with the public keys that may sign (default keys/audit.pub of the data folder; none for files that are given)")
	return command
}

// readAuditKeys reads one key a line.
func readAuditKeys(path string) ([]ed25519.PublicKey, error) {
	if path == "" {
		return nil, nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the public keys of the audit record: %w", err)
	}
	var keys []ed25519.PublicKey
	for _, line := range strings.Fields(string(content)) {
		key, err := audit.ParseKey(line)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("read %s: there is no key in it", path)
	}
	return keys, nil
}

// verifyAudit checks each chain among the files, all of them even if one is broken.
func verifyAudit(w io.Writer, files []audit.File, keys []ed25519.PublicKey) error {
	var broken error
	for len(files) > 0 {
		n := 1
		for n < len(files) && files[n].Chain == files[0].Chain && files[0].First > 0 {
			n++
		}
		verifier := audit.Verifier{Keys: keys}
		err := readAudit(&verifier, files[:n])
		printVerified(w, verifier.Verified(), n, keys != nil)
		if err == nil && keys != nil && verifier.Verified().Signed == 0 && verifier.Verified().Last > 0 {
			err = fmt.Errorf("%s: no record signs this chain: it is not one of a gateway's", files[0].Path)
		}
		broken = errors.Join(broken, err)
		files = files[n:]
	}
	return broken
}

func readAudit(verifier *audit.Verifier, files []audit.File) error {
	for _, f := range files {
		file, err := os.Open(f.Path)
		if err != nil {
			return fmt.Errorf("read audit record: %w", err)
		}
		err = verifier.Read(f.Path, file)
		if err := errors.Join(err, file.Close()); err != nil {
			return err
		}
	}
	return nil
}

func printVerified(w io.Writer, v audit.Verified, files int, keysKnown bool) {
	if v.Last == 0 {
		return
	}
	fmt.Fprintf(w, "chain %s: records %d to %d are whole (%s)\n", v.Chain, v.First, v.Last, counted(files, "file"))
	if v.First > 1 {
		fmt.Fprintf(w, "  records 1 to %d are in files that are not here\n", v.First-1)
	}
	if v.Signed > 0 {
		fmt.Fprintf(w, "  signed up to record %d, at %s, by %s", v.Signed, v.SignedAt.UTC().Format(time.RFC3339), strings.Join(v.Keys, ", "))
		if !keysKnown {
			fmt.Fprint(w, "\n  whose key that is was not checked: give it with --key")
		}
		fmt.Fprintln(w)
	}
	if v.Unsigned() > 0 {
		fmt.Fprintf(w, "  unsigned tail of %s: what follows the last head may have been cut or added by who can write the file\n", counted(int(v.Unsigned()), "record"))
	}
	if v.Torn > 0 {
		fmt.Fprintf(w, "  %s at the end are no whole record, as a crash leaves them; the gateway sets them aside when it starts\n", counted(v.Torn, "byte"))
	}
	fmt.Fprintf(w, "  head %d %s\n", v.Last, v.Head)
}

// auditFilter chooses records. Empty fields take all.
type auditFilter struct{ tenant, person, app, kind string }

func (f auditFilter) takes(r audit.Record) bool {
	return (f.tenant == "" || f.tenant == r.Tenant) &&
		(f.person == "" || f.person == r.Person || f.person == r.DatabaseAs) &&
		(f.app == "" || f.app == r.App) &&
		(f.kind == "" || f.kind == r.Kind || strings.HasPrefix(r.Kind, f.kind+"."))
}

func newAuditTail(data *string) *cobra.Command {
	var count int64
	var follow, asJSON bool
	var filter auditFilter
	command := &cobra.Command{
		Use:   "tail [FILE]",
		Short: "Show the newest records, and go on with those that come",
		Example: `  shiftgrant audit tail --data /var/lib/shiftgrant
  shiftgrant audit tail -f --kind statement --person alice
  shiftgrant audit tail -n 1000 --json | jq .statement`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(command *cobra.Command, paths []string) error {
			path, _ := gateway.AuditFiles(*data)
			if len(paths) > 0 {
				path = paths[0]
			}
			after := int64(0)
			if filter == (auditFilter{}) {
				last, err := audit.Last(path)
				if err != nil {
					return err
				}
				after = max(last-count, 0)
			}
			reader, err := audit.Follow(path, after)
			if err != nil {
				return err
			}
			defer reader.Close()
			show := showTable
			if asJSON {
				show = showLine
			}
			return tailAudit(command.Context(), command.OutOrStdout(), reader, filter, int(count), follow, show)
		},
	}
	flags := command.Flags()
	flags.Int64VarP(&count, "lines", "n", 20, "how many records to begin with")
	flags.BoolVarP(&follow, "follow", "f", false, "go on with records that come, also after the file was rotated")
	flags.BoolVar(&asJSON, "json", false, "the lines as they are in the file")
	flags.StringVar(&filter.tenant, "tenant", "", "of this tenant only (`name`; default: of all)")
	flags.StringVar(&filter.person, "person", "", "of this person only (database user or `ID`)")
	flags.StringVar(&filter.app, "app", "", "of this app only (`ID`)")
	flags.StringVar(&filter.kind, "kind", "", "of this `KIND` only; statement takes statement.started and statement.ended")
	return command
}

// followEvery is how often new records are looked for.
const followEvery = 200 * time.Millisecond

// tailAudit shows the last count of what is there, then what comes, if it is to follow.
func tailAudit(ctx context.Context, w io.Writer, reader *audit.Follower, filter auditFilter, count int, follow bool, show func(io.Writer, string, audit.Record)) error {
	type entry struct {
		line   string
		record audit.Record
	}
	var newest []entry
	flush := func() {
		for _, e := range newest[max(len(newest)-count, 0):] {
			show(w, e.line, e.record)
		}
		newest = newest[:0]
	}
	names := map[string]string{} // of people: some records have only the id
	for {
		line, err := reader.Next()
		switch {
		case errors.Is(err, io.EOF) && !follow:
			flush()
			return nil
		case errors.Is(err, io.EOF):
			flush()
			count = int(^uint(0) >> 1) // from here on all
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(followEvery):
			}
			continue
		case err != nil:
			flush()
			return err
		}
		var record audit.Record
		if json.Unmarshal(line, &record) != nil {
			continue
		}
		if record.DatabaseAs != "" {
			names[record.Person] = record.DatabaseAs
		}
		record.DatabaseAs = names[record.Person]
		if filter.takes(record) {
			newest = append(newest, entry{string(line), record})
			if len(newest) > 2*count+64 && count < 1<<20 {
				newest = append(newest[:0], newest[len(newest)-count:]...)
			}
		}
	}
}

func showLine(w io.Writer, line string, _ audit.Record) { fmt.Fprintln(w, line) }

// showTable prints a record as a row whose columns need not wait for the widest.
func showTable(w io.Writer, _ string, r audit.Record) {
	what := cmp.Or(r.Statement, r.SHA256, r.Detail, r.Scopes)
	outcome := cmp.Or(r.Outcome, "-")
	if r.SQLState != "" {
		outcome += " " + r.SQLState
	}
	if r.Kind == "statement.ended" {
		what = fmt.Sprintf("%s, %s, %v", counted(int(r.Rows), "row"), counted(int(r.Bytes), "byte"), r.Duration.Round(time.Millisecond))
	}
	who := cmp.Or(r.DatabaseAs, r.Person, "-")
	if r.Tenant != "" && r.Tenant != grant.DefaultTenant {
		who = r.Tenant + "/" + who
	}
	row := fmt.Sprintf("%s  %-18s %-12s %-14s %-10s %-12s %s", r.Time.UTC().Format("2006-01-02T15:04:05.000Z"), r.Kind,
		who, cmp.Or(r.App, "-"), cmp.Or(r.Warehouse, "-"), outcome, what)
	fmt.Fprintln(w, strings.TrimRight(onTerminal(row), " "))
}

// onTerminal is a text in one line, without what a terminal would obey.
func onTerminal(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case !unicode.IsPrint(r):
			return unicode.ReplacementChar
		}
		return r
	}, text)
}
