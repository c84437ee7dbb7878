package test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the snippets into the documents")

// A document quotes code that tests run by a comment before the block:
//
//	<!-- from FILE: NAME -->
//
// FILE marks the part with "// snippet: NAME" and "// end: NAME".
var quotation = regexp.MustCompile("(?s)<!-- from ([^ ]+): ([a-z-]+) -->\n```([a-z]+)\n(.*?)```")

func TestDocumentsQuoteCodeThatTestsRun(t *testing.T) {
	t.Parallel()
	documents, err := filepath.Glob("../docs/*.md")
	if err != nil || len(documents) == 0 {
		t.Fatalf("documents: %v, %v", documents, err)
	}
	quoted := 0
	for _, path := range documents {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		fresh := quotation.ReplaceAllStringFunc(string(content), func(block string) string {
			parts := quotation.FindStringSubmatch(block)
			code, err := snippet(filepath.Join("..", parts[1]), parts[2])
			if err != nil {
				t.Errorf("%s: %v", path, err)
				return block
			}
			quoted++
			return fmt.Sprintf("<!-- from %s: %s -->\n```%s\n%s```", parts[1], parts[2], parts[3], code)
		})
		if fresh == string(content) {
			continue
		}
		if !*update {
			t.Errorf("%s quotes code that has changed: run go test ./test -run TestDocuments -update", path)
			continue
		}
		if err := os.WriteFile(path, []byte(fresh), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if quoted < 5 {
		t.Errorf("%d quotations found, want at least 5", quoted)
	}
}

// snippet is the marked part of a file, without its indentation.
func snippet(path, name string) (string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	_, after, found := strings.Cut(string(content), "// snippet: "+name+"\n")
	part, _, ended := strings.Cut(after, "// end: "+name)
	if !found || !ended {
		return "", fmt.Errorf("%s marks no snippet %q", path, name)
	}
	part = strings.TrimRight(part, " \t\n") + "\n"
	indent := part[:len(part)-len(strings.TrimLeft(part, " \t"))]
	return strings.ReplaceAll("\n"+part, "\n"+indent, "\n")[1:], nil
}
