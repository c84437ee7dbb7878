package encode

import (
	"encoding/csv"
	"strings"
	"testing"
)

func TestNegotiate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		accept string
		want   string // "" for none
	}{
		{"", "application/json"},
		{"*/*", "application/json"},
		{"application/*", "application/json"},
		{"text/*", "text/csv"},
		{"text/csv", "text/csv"},
		{"TEXT/CSV; header=present", "text/csv"},
		{"application/x-ndjson", "application/x-ndjson"},
		{"application/jsonl", "application/x-ndjson"},
		{"application/json; charset=utf-8", "application/json"},
		{"text/csv, */*", "text/csv"},
		{"text/html, application/xhtml+xml, */*;q=0.8", "application/json"},
		{"application/json;q=0.5, text/csv;q=0.9", "text/csv"},
		{"application/json;q=0.5, text/csv;q=0.50, application/x-ndjson;q=0.499", "application/json"},
		{"application/json;q=0, */*", "application/x-ndjson"},
		{"application/json;q=0", ""},
		{"*/*;q=0", ""},
		{"text/html", ""},
		{"text/html, text/csv;q=0.001", "text/csv"},
		{"text/csv;q=2", ""},
		{"text/csv;q=0.0001", ""},
		{"text/csv;q=", ""},
		{"text/csv;q=-1", ""},
		{"csv", ""},
		{"/", ""},
		{",", ""},
		{"nonsense;;;, text/csv;Q=1.000", "text/csv"},
		{"application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.stream"},
		{"application/vnd.apache.parquet", ""},
	} {
		format, err := Negotiate(c.accept)
		if got := format.String(); (err != nil) != (c.want == "") || err == nil && got != c.want {
			t.Errorf("Accept %q: %s, %v, want %q", c.accept, got, err, c.want)
		}
	}
}

func FuzzNegotiate(f *testing.F) {
	f.Add("text/csv;q=0.5, */*")
	f.Fuzz(func(t *testing.T, accept string) {
		format, err := Negotiate(accept)
		if err == nil && strings.TrimSpace(accept) != "" && !strings.Contains(accept, "/") {
			t.Errorf("%q gives %s", accept, format)
		}
	})
}

// What a reader of RFC 4180 that somebody else wrote gets back.
func FuzzCSVField(f *testing.F) {
	f.Add("a,\"b\"\n", "")
	f.Fuzz(func(t *testing.T, first, second string) {
		first, second = strings.ToValidUTF8(first, "\uFFFD"), strings.ToValidUTF8(second, "\uFFFD")
		if strings.Contains(first+second, "\r") {
			return // encoding/csv makes \r\n into \n
		}
		line := append(appendField(append(appendField(nil, []byte(first)), ','), []byte(second)), "\r\n"...)
		records, err := csv.NewReader(strings.NewReader(string(line))).ReadAll()
		if err != nil || len(records) != 1 || len(records[0]) != 2 || records[0][0] != first || records[0][1] != second {
			t.Errorf("%q and %q came back as %q from %q: %v", first, second, records, line, err)
		}
	})
}
