package gateway

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/shiftgrant/shiftgrant/internal/audit"
	"github.com/shiftgrant/shiftgrant/internal/issuer"
	"github.com/shiftgrant/shiftgrant/internal/kms"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
)

// SigningKMS is a key of AWS KMS that signs assertions and ID tokens from a time on, for SIGN_VERIFY
// and of key spec RSA_2048 or more. Such keys are not rotated by KMS: add another one, whose time is
// two days ahead.
type SigningKMS struct {
	Key         string  `yaml:"key"` // its ARN
	From        Instant `yaml:"from"`
	Endpoint    string  `yaml:"endpoint"`     // default: AWS's for the region
	STSEndpoint string  `yaml:"sts_endpoint"` // default: AWS's for the region
}

// Instant is a time written as 2026-12-01T00:00:00Z.
type Instant time.Time

// UnmarshalYAML reads RFC 3339.
func (i *Instant) UnmarshalYAML(node ast.Node) error {
	parsed, err := time.Parse(time.RFC3339, node.GetToken().Value)
	if err != nil {
		return atNode(node, errors.New("not a time: write it as 2026-12-01T00:00:00Z"))
	}
	*i = Instant(parsed.UTC())
	return nil
}

func (k *Keys) check() error {
	if k.KMS.Key != "" {
		if _, err := kms.Region(k.KMS.Key); err != nil {
			return &keyError{"$.keys.kms.key", err.Error()}
		}
	}
	if err := checkEndpoints(endpoint{"$.keys.kms.endpoint", k.KMS.Endpoint}, endpoint{"$.keys.kms.sts_endpoint", k.KMS.STSEndpoint}); err != nil {
		return err
	}
	if k.IssuerRotateEvery != 0 && time.Duration(k.IssuerRotateEvery) < issuer.MinimumTurn {
		return &keyError{"$.keys.issuer_rotate_every", "a key is published for days before it signs: give a week (168h) or more, or leave it out"}
	}
	if k.IssuerRotateEvery != 0 && len(k.IssuerKMS) > 0 {
		return &keyError{"$.keys.issuer_rotate_every", "this is for keys in files, and issuer_kms is given: rotate keys in KMS by adding one to issuer_kms"}
	}
	return checkSigningKMS("$.keys.issuer_kms", k.IssuerKMS)
}

func checkSigningKMS(path string, keys []SigningKMS) error {
	for n, key := range keys {
		if err := key.check(fmt.Sprintf("%s[%d]", path, n), keys[:n]); err != nil {
			return err
		}
	}
	return nil
}

func (s SigningKMS) check(path string, before []SigningKMS) error {
	if _, err := kms.Region(s.Key); err != nil {
		return &keyError{path + ".key", err.Error()}
	}
	switch {
	case strings.Contains(s.Key, ":alias/"):
		return &keyError{path + ".key", "an alias can come to stand for a key that nobody has published: give the key's own ARN, which ends with key/ID"}
	case time.Time(s.From).IsZero():
		return &keyError{path + ".from", "say from when the key signs, such as 2026-12-01T00:00:00Z; two days ahead, where another one signs now"}
	case slices.ContainsFunc(before, func(b SigningKMS) bool { return b.Key == s.Key }):
		return &keyError{path + ".key", "this key is there twice"}
	case slices.ContainsFunc(before, func(b SigningKMS) bool { return b.From == s.From }):
		return &keyError{path + ".from", "another key begins at the same time"}
	}
	return checkEndpoints(endpoint{path + ".endpoint", s.Endpoint}, endpoint{path + ".sts_endpoint", s.STSEndpoint})
}

// openKey makes the client of a key in AWS KMS, with the gateway's own AWS credentials.
func (g *Gateway) openKey(config KMS) (*kms.Key, error) {
	region, err := kms.Region(config.Key)
	if err != nil {
		return nil, err
	}
	own := identity.NewOwn(identity.OwnConfig{Region: region, STSEndpoint: config.STSEndpoint, Now: g.now})
	g.closers = append(g.closers, func() error { own.Close(); return nil })
	return kms.New(kms.Config{KeyARN: config.Key, Endpoint: config.Endpoint, Credentials: own, Now: g.now})
}

// openSigningKeys opens the keys in the folder and those in AWS KMS. One who only looks makes none.
func (t *tenant) openSigningKeys() (*issuer.Keys, error) {
	places := issuer.KeyPlaces{Folder: t.keys.issuerFolder, Look: t.keys.look}
	for _, config := range t.config.Keys.IssuerKMS {
		key, err := t.openKey(KMS{Key: config.Key, Endpoint: config.Endpoint, STSEndpoint: config.STSEndpoint})
		if err != nil {
			return nil, err
		}
		places.Remote = append(places.Remote, issuer.RemoteKey{Name: config.Key, From: time.Time(config.From), Key: key})
		if ahead := time.Time(config.From).Sub(t.now()); 0 < ahead && ahead < issuer.PublishAhead {
			t.logger.Warn("this key signs in less than a day; AWS may know it too late, unless it was configured before", "key", config.Key, "from", time.Time(config.From))
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), kmsTimeout)
	defer cancel()
	return places.Open(ctx, t.now())
}

const (
	// oldKey is when a key that nobody rotates is worth a word.
	oldKey = 365 * 24 * time.Hour
	// remindEvery is how often the same word is said in the log.
	remindEvery = 12 * time.Hour
	// rotateAgain is how long after a failure the next key is tried: there is a day for it, and each try
	// is on record.
	rotateAgain = time.Hour
)

// turnKeys is what happens to the gateway's own keys every minute: those that somebody else has put
// beside ours are read, and the next signing key is made when it is time.
func (t *tenant) turnKeys(ctx context.Context) {
	t.keys.reload(t.now(), t.logger)
	t.keys.mu.Lock()
	defer t.keys.mu.Unlock()
	exported, isExported, err := t.keys.issuer.Exported()
	if err != nil {
		t.logger.Error("look whether the signing keys were exported", "error", err)
		return
	}
	t.remindOfKeys(exported, isExported)
	if turn := time.Duration(t.config.Keys.IssuerRotateEvery); turn > 0 {
		if err := t.rotateSigningKey(ctx, turn, isExported); err != nil {
			t.keys.rotateAfter = t.now().Add(rotateAgain)
			t.logger.Error("rotate the signing key; the one before goes on", "error", err, "next_try", t.keys.rotateAfter)
		}
	}
}

// rotateSigningKey makes the next key when it is due, on record, and deletes those that are over. What
// AWS reads of exported keys does not change by itself, so there it only reminds.
func (t *tenant) rotateSigningKey(ctx context.Context, turn time.Duration, exported bool) error {
	keys, now := t.keys.issuer, t.now()
	from, due := keys.Due(turn, now)
	switch {
	case now.Before(t.keys.rotateAfter):
		return nil
	case due && exported:
		t.remind("exported", "it is time for a new signing key, and none is made because AWS reads exported files: run `shiftgrant keys rotate --issuer`, then `shiftgrant issuer export` and put the files in place; or delete the file `exported` beside the keys if it reads them no more")
	case due:
		if err := (countedAudit{t.audit, t.metrics}).Write(ctx, audit.Record{Kind: "key.rotated", Tenant: t.config.tenant, Detail: issuerKey, Outcome: "by schedule"}); err != nil {
			return err
		}
		key, made, err := keys.AddNext(from, now)
		if err != nil {
			return err
		}
		t.logger.Info("a new signing key is published", "key", key.ID, "signs_from", key.From, "made_here", made)
	}
	removed, err := keys.RemoveOver(now)
	for _, path := range removed {
		t.logger.Info("deleted a signing key that is over", "file", path)
	}
	return err
}

// remindOfKeys says what somebody should do about the signing keys.
func (t *tenant) remindOfKeys(exported []string, isExported bool) {
	now := t.now()
	old := oldKey
	if turn := time.Duration(t.config.Keys.IssuerRotateEvery); turn > 0 {
		old = turn + issuer.PublishAhead
	}
	keys := t.keys.issuer.List(now)
	for _, key := range keys {
		if key.State == issuer.Signs && now.Sub(key.From) > old && key.Until.IsZero() {
			t.remind(key.ID, "the signing key is old: see \"Rotate keys\" in docs/operations.md", "key", key.ID, "since", key.From)
		}
		if key.State == issuer.Over && t.keys.issuerKMS && filepath.Dir(key.Place) == filepath.Clean(t.keys.issuerFolder) {
			t.remind(key.ID+" over", "the signing keys are in AWS KMS, and the file of one from before is still there: delete it, and its copies", "file", key.Place)
		}
		if isExported && (key.State == issuer.Signs || key.State == issuer.Ahead) && !slices.Contains(exported, key.ID) {
			t.remind(key.ID+" exported", "this signing key is not in the files that were exported, so AWS refuses what it signs: run `shiftgrant issuer export` and put the files in place; or delete the file `exported` beside the keys if AWS reads them no more",
				"key", key.ID, "signs_from", key.From)
		}
	}
}

// remind warns in the log, now and then.
func (t *tenant) remind(about, words string, attributes ...any) {
	now := t.now()
	if last, said := t.keys.reminded[about]; said && now.Sub(last) < remindEvery {
		return
	}
	if t.keys.reminded == nil {
		t.keys.reminded = map[string]time.Time{}
	}
	t.keys.reminded[about] = now
	t.logger.Warn(words, attributes...)
}

// An Export is what was written for those who cannot reach the gateway.
type Export struct {
	Files []string
	Keys  []issuer.KeyInfo // published in them, the oldest first
}

// ExportIssuer writes the documents that AWS reads of the gateway beneath a folder, and leaves a note of
// it beside the keys. It needs no running gateway, and makes no key.
func ExportIssuer(config Config, now func() time.Time, folder string) (export Export, err error) {
	roads, err := OpenRoads(config, now)
	if err != nil {
		return Export{}, err
	}
	defer func() { err = errors.Join(err, roads.Close()) }()
	t := roads.tenant
	if export.Files, err = t.issuer.Export(folder); err != nil {
		return export, err
	}
	export.Keys = slices.DeleteFunc(t.keys.issuer.List(now()), func(key issuer.KeyInfo) bool { return key.State == issuer.Over })
	return export, t.keys.issuer.NoteExport(now())
}
