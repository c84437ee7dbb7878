package redshift_test

import (
	"testing"

	"github.com/shiftgrant/shiftgrant/redshift"
)

func TestKindOfKnowsBothSpellings(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]redshift.Kind{
		"int4": redshift.Integer, "INTEGER": redshift.Integer, "numeric": redshift.Numeric,
		"timestamptz": redshift.TimestampTZ, "super": redshift.Super,
		"varchar": redshift.Text, "hllsketch": redshift.Text, "": redshift.Text,
	} {
		if got := redshift.KindOf(name); got != want {
			t.Errorf("KindOf(%q) = %v, want %v", name, got, want)
		}
	}
}
