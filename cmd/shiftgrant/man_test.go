package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func TestAManPageIsWrittenSoThatNothingIsLost(t *testing.T) {
	t.Parallel()
	root := &cobra.Command{Use: "tool", Short: "A tool", Run: func(*cobra.Command, []string) {}}
	command := &cobra.Command{
		Use: "make [flags] THING", Short: "Make a thing", Example: "  # twice\n  tool make '~\\x'\n    .and so on",
		Long: ".starts with a dot and `tool \"make\"` is bold.\nA dash - and a 'quote'.\n\n  kept   as it is\n  in two lines",
		Run:  func(*cobra.Command, []string) {},
	}
	root.AddCommand(command)
	command.Flags().StringP("file", "f", "a-b", "the `FILE` to use")
	command.Flags().Bool("hidden", false, "not shown")
	_ = command.Flags().MarkHidden("hidden")
	page, _, _ := strings.Cut(string(manPages(root)["tool-make.1"]), ".SH EXIT STATUS")
	_, page, _ = strings.Cut(page, "\n") // which has the version
	want := `.nh
.ad l
.SH NAME
tool\-make \- make a thing
.SH SYNOPSIS
.B tool make
[flags] THING
.SH DESCRIPTION
\&.starts with a dot and \fBtool \(dqmake\(dq\fR is bold.
A dash \- and a \(aqquote\(aq.
.PP
.EX
kept   as it is
in two lines
.EE
.SH OPTIONS
.TP
\fB\-f\fR, \fB\-\-file\fR \fIFILE\fR
the FILE to use (default: a\-b)
.SH EXAMPLES
.EX
# twice
tool make \(aq\(ti\ex\(aq
  .and so on
.EE
`
	if diff := cmp.Diff(want, page); diff != "" {
		t.Error(diff)
	}
}

func TestEachCommandHasAManPageWithAllThatHelpHas(t *testing.T) {
	t.Parallel()
	root := newRoot()
	pages := manPages(root)
	macros := map[string]bool{".TH": true, ".nh": true, ".ad": true, ".SH": true, ".PP": true, ".TP": true, ".B": true, ".BR": true, ".EX": true, ".EE": true}
	for name, page := range pages {
		for line := range bytes.Lines(page) {
			if word := strings.Fields(string(line)); len(word) > 0 && strings.HasPrefix(word[0], ".") && !macros[word[0]] {
				t.Errorf("%s: %s is no macro that we use", name, word[0])
			}
		}
		for _, section := range []string{"NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "ENVIRONMENT", "FILES"} {
			if !bytes.Contains(page, []byte("\n.SH "+section+"\n")) {
				t.Errorf("%s has no section %s", name, section)
			}
		}
	}
	var walk func(*cobra.Command)
	walk = func(command *cobra.Command) {
		if command.Runnable() && !command.IsAdditionalHelpTopicCommand() {
			page, found := pages[manName(command)+".1"]
			if !found {
				t.Errorf("%s has no page", command.CommandPath())
			}
			command.Flags().VisitAll(func(flag *pflag.Flag) {
				if !flag.Hidden && !bytes.Contains(page, []byte(`\fB\-\-`+roffText(flag.Name)+`\fR`)) {
					t.Errorf("the page of %s lacks --%s", command.CommandPath(), flag.Name)
				}
			})
		}
		for _, beneath := range command.Commands() {
			walk(beneath)
		}
	}
	walk(root)
	if len(pages) < 30 {
		t.Errorf("%d pages", len(pages))
	}
}
