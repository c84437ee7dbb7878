package secret_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/shiftgrant/shiftgrant/internal/secret"
)

func TestNoWayOfPrintingShowsTheSecret(t *testing.T) {
	t.Parallel()
	const value = "sg_at_canarycanarycanary"
	text := secret.New(value)
	held := struct{ Token secret.Text }{text}

	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("issued", "token", text, "held", held)
	marshalled, err := json.Marshal(held)
	if err != nil {
		t.Fatal(err)
	}
	for name, printed := range map[string]string{
		"%v": fmt.Sprintf("%v", text), "%s": fmt.Sprintf("<%s>", text), "%q": fmt.Sprintf("%q", text),
		"%+v": fmt.Sprintf("%+v", held), "%#v": fmt.Sprintf("%#v", held), "%x": fmt.Sprintf("%x", text),
		"pointer": fmt.Sprintf("%v", &held), "json": string(marshalled), "slog": log.String(),
	} {
		if strings.Contains(printed, "canary") || strings.Contains(printed, fmt.Sprintf("%x", "canary")) {
			t.Errorf("%s prints the secret: %s", name, printed)
		}
	}
	if got := text.Reveal(); got != value {
		t.Errorf("Reveal() = %q, want the value", got)
	}
}

func TestMaskKeepsTheKind(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"":                "",
		"sg_at_abc":       "sg_at_****",
		"sg_rt_abc":       "sg_rt_****",
		"password":        "****",
		"sg_":             "****",
		"sg_toolong_abcd": "****",
	} {
		if got := secret.New(value).String(); got != want {
			t.Errorf("New(%q).String() = %q, want %q", value, got, want)
		}
	}
}
