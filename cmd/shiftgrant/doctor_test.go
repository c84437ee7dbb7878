package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/shiftgrant/shiftgrant/internal/doctor"
)

var named = regexp.MustCompile("`shiftgrant ([^`]+)`")

// What doctor tells people to run exists, with the flags that it names.
func TestCommandsInRemediesExist(t *testing.T) {
	t.Parallel()
	found := named.FindAllStringSubmatch(doctor.Troubleshooting(), -1)
	if len(found) == 0 {
		t.Fatal("no command was found")
	}
	for _, match := range found {
		words := strings.Fields(match[1])
		command, _, err := newRoot().Find(words)
		if err != nil || !command.HasParent() {
			t.Errorf("shiftgrant %s: there is no such command", match[1])
			continue
		}
		for _, word := range words {
			if name, isFlag := strings.CutPrefix(word, "--"); isFlag && command.Flags().Lookup(name) == nil {
				t.Errorf("shiftgrant %s: there is no flag %s", match[1], word)
			}
		}
	}
}
