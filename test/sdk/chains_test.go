package sdk

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/redshift"
	redshifttypes "github.com/aws/aws-sdk-go-v2/service/redshift/types"
	"github.com/aws/aws-sdk-go-v2/service/redshiftdata"
	datatypes "github.com/aws/aws-sdk-go-v2/service/redshiftdata/types"
	"github.com/aws/aws-sdk-go-v2/service/redshiftserverless"
	serverlesstypes "github.com/aws/aws-sdk-go-v2/service/redshiftserverless/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	secretstypes "github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/aws-sdk-go-v2/service/ssooidc"
	oidctypes "github.com/aws/aws-sdk-go-v2/service/ssooidc/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"

	"github.com/shiftgrant/shiftgrant/twin"
	"github.com/shiftgrant/shiftgrant/twin/identitycenter"
	"github.com/shiftgrant/shiftgrant/twin/script"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
	"github.com/shiftgrant/shiftgrant/twin/twintest"
)

const jwtBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"

func assumeInput(role, identityContext string) *sts.AssumeRoleInput {
	return &sts.AssumeRoleInput{
		RoleArn: aws.String(role), RoleSessionName: aws.String("gateway"),
		ProvidedContexts: []ststypes.ProvidedContext{{ProviderArn: aws.String(identitycenter.ContextProvider), ContextAssertion: aws.String(identityContext)}},
	}
}

// exchange trades an assertion for tokens as the gateway's role.
func exchange(t *testing.T, played *twin.Twin, assertion *string) (*ssooidc.CreateTokenWithIAMOutput, error) {
	t.Helper()
	return ssooidc.NewFromConfig(as(played, keys(twin.GatewayKeys()))).CreateTokenWithIAM(t.Context(), &ssooidc.CreateTokenWithIAMInput{
		ClientId: aws.String(twin.ApplicationARN), GrantType: aws.String(jwtBearer), Assertion: assertion,
	})
}

// currentUser asks the Data API who somebody is there.
func currentUser(t *testing.T, played *twin.Twin, provider aws.CredentialsProvider, input redshiftdata.ExecuteStatementInput) (string, error) {
	t.Helper()
	input.Sql = aws.String("select current_user")
	return statement(t, played, provider, input)
}

// statement runs one by the Data API, and gives the one text that it answers, if it answers any.
func statement(t *testing.T, played *twin.Twin, provider aws.CredentialsProvider, input redshiftdata.ExecuteStatementInput) (string, error) {
	t.Helper()
	client := redshiftdata.NewFromConfig(as(played, provider))
	input.Database = aws.String(twin.Database)
	if input.WorkgroupName == nil {
		input.ClusterIdentifier = aws.String(twin.Cluster)
	}
	started, err := client.ExecuteStatement(t.Context(), &input)
	if err != nil {
		return "", err
	}
	for {
		described := must(client.DescribeStatement(t.Context(), &redshiftdata.DescribeStatementInput{Id: started.Id}))(t)
		switch described.Status {
		case datatypes.StatusStringFinished:
			if !aws.ToBool(described.HasResultSet) {
				return "", nil
			}
			result := must(client.GetStatementResult(t.Context(), &redshiftdata.GetStatementResultInput{Id: started.Id}))(t)
			return result.Records[0][0].(*datatypes.FieldMemberStringValue).Value, nil
		case datatypes.StatusStringFailed, datatypes.StatusStringAborted:
			return "", errors.New(aws.ToString(described.Error))
		}
	}
}

func TestAnAssertionBecomesAnIdentityThatTheDataAPIActsFor(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	played := twintest.Start(t, twin.Config{Issuer: g.URL})
	tokens := must(exchange(t, played, g.assertion(t, "alice@example.com", nil)))(t)
	if !strings.HasPrefix(*tokens.AccessToken, "aoa") || aws.ToString(tokens.TokenType) != "Bearer" || tokens.ExpiresIn != 3600 || strings.Count(*tokens.IdToken, ".") != 2 || tokens.RefreshToken == nil {
		t.Errorf("tokens: %+v", tokens)
	}
	person := enhanced(t, played, *tokens.AwsAdditionalDetails.IdentityContext)
	for name, input := range map[string]redshiftdata.ExecuteStatementInput{
		"cluster": {}, "workgroup": {WorkgroupName: aws.String(twin.Workgroup)},
	} {
		if user, err := currentUser(t, played, person, input); user != "awsidc:alice@example.com" {
			t.Errorf("on the %s current_user is %q, %v", name, user, err)
		}
	}
	_, err := currentUser(t, played, person, redshiftdata.ExecuteStatementInput{DbUser: aws.String("bob")})
	refusedWith(t, "another database user", err, "ValidationException")

	refreshed := must(ssooidc.NewFromConfig(as(played, keys(twin.GatewayKeys()))).CreateTokenWithIAM(t.Context(), &ssooidc.CreateTokenWithIAMInput{
		ClientId: aws.String(twin.ApplicationARN), GrantType: aws.String("refresh_token"), RefreshToken: tokens.RefreshToken,
	}))(t)
	if user, err := currentUser(t, played, enhanced(t, played, *refreshed.AwsAdditionalDetails.IdentityContext), redshiftdata.ExecuteStatementInput{}); user != "awsidc:alice@example.com" {
		t.Errorf("after a refresh current_user is %q, %v", user, err)
	}
}

func TestIdentityCenterRefusesAssertionsThatDoNotHold(t *testing.T) {
	t.Parallel()
	g, stranger := newGateway(t), newGateway(t)
	played := twintest.Start(t, twin.Config{Issuer: g.URL})
	used := g.assertion(t, "bob@example.com", nil)
	if _, err := exchange(t, played, used); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		assertion *string
		want      any
	}{
		"used before":            {used, &oidctypes.InvalidGrantException{}},
		"for another audience":   {g.assertion(t, "bob@example.com", map[string]any{"aud": "other"}), &oidctypes.InvalidGrantException{}},
		"of an unknown issuer":   {stranger.assertion(t, "bob@example.com", nil), &oidctypes.InvalidGrantException{}},
		"signed by another":      {stranger.assertion(t, "bob@example.com", map[string]any{"iss": g.URL}), &oidctypes.InvalidGrantException{}},
		"expired":                {g.assertion(t, "bob@example.com", map[string]any{"exp": time.Now().Add(-time.Second).Unix()}), &oidctypes.ExpiredTokenException{}},
		"from the future":        {g.assertion(t, "bob@example.com", map[string]any{"iat": time.Now().Add(10 * time.Minute).Unix(), "exp": time.Now().Add(time.Hour).Unix()}), &oidctypes.InvalidGrantException{}},
		"without a jti":          {g.assertion(t, "bob@example.com", map[string]any{"jti": nil}), &oidctypes.InvalidRequestException{}},
		"about nobody":           {g.assertion(t, "mallory@example.com", nil), &oidctypes.InvalidGrantException{}},
		"without the claim":      {g.assertion(t, "", map[string]any{"email": nil}), &oidctypes.InvalidGrantException{}},
		"that is no token":       {aws.String("eyJ"), &oidctypes.InvalidRequestException{}},
		"for several audiences,": {g.assertion(t, "bob@example.com", map[string]any{"aud": []string{"x", twin.Audience}}), nil},
	} {
		_, err := exchange(t, played, test.assertion)
		if !sameType(err, test.want) {
			t.Errorf("an assertion %s: %v, want %T", name, err, test.want)
		}
	}
}

func sameType(err error, want any) bool {
	switch want := want.(type) {
	case nil:
		return err == nil
	case *oidctypes.InvalidGrantException:
		return errors.As(err, &want) && aws.ToString(want.Error_) == "invalid_grant"
	case *oidctypes.ExpiredTokenException:
		return errors.As(err, &want) && aws.ToString(want.Error_) == "expired_token"
	case *oidctypes.InvalidRequestException:
		return errors.As(err, &want) && aws.ToString(want.Error_) == "invalid_request"
	}
	return false
}

// Each breakage is one thing that is wrong in an account, as doctor's tests need them.
func TestEachLinkOfTheChainCanBeBroken(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	played := twintest.Start(t, twin.Config{Issuer: g.URL})
	chain := func(t *testing.T) error {
		tokens, err := exchange(t, played, g.assertion(t, "bob@example.com", nil))
		if err != nil {
			return err
		}
		assumed, err := sts.NewFromConfig(as(played, keys(twin.GatewayKeys()))).AssumeRole(t.Context(), assumeInput(twin.PeopleRoleARN, *tokens.AwsAdditionalDetails.IdentityContext))
		if err != nil {
			return err
		}
		person := keys(sigv4.Credential{AccessKeyID: *assumed.Credentials.AccessKeyId, SecretAccessKey: *assumed.Credentials.SecretAccessKey, SessionToken: *assumed.Credentials.SessionToken})
		_, err = redshift.NewFromConfig(as(played, person)).GetIdentityCenterAuthToken(t.Context(), &redshift.GetIdentityCenterAuthTokenInput{ClusterIds: []string{twin.Cluster}})
		return err
	}
	application := must(played.Center.Application(twin.ApplicationARN))(t)
	grant := application.Grants[identitycenter.JWTBearer]
	role := func(name, action string) error {
		return played.STS.PutRole(peopleRole(name, action))
	}
	for _, b := range []struct {
		name, code   string
		break_, mend func() error
	}{
		{"the application has no grant", "UnauthorizedClientException", func() error { return played.Center.DeleteGrant(twin.ApplicationARN, identitycenter.JWTBearer) }, func() error { return played.Center.PutGrant(twin.ApplicationARN, identitycenter.JWTBearer, grant) }},
		{"the issuer's key is gone", "InvalidGrantException", func() error { played.Center.ForgetKeys(true); return nil }, func() error { played.Center.ForgetKeys(false); return nil }},
		{"the role is no actor", "AccessDeniedException", func() error { return actors(played) }, func() error { return actors(played, twin.GatewayRoleARN) }},
		{"the scope is missing", "AccessDenied", func() error { return scopes(played, "other") }, func() error { return scopes(played, identitycenter.RedshiftScope) }},
		{"the role does not trust", "AccessDenied", func() error { return role("somebody", "sts:SetContext") }, func() error { return role(twin.GatewayRoleName, "sts:SetContext") }},
		{"the role takes no context", "AccessDenied", func() error { return role(twin.GatewayRoleName, "sts:TagSession") }, func() error { return role(twin.GatewayRoleName, "sts:SetContext") }},
		{"a clock is wrong", "InvalidSignatureException", func() error { played.SetSkew(10 * time.Minute); return nil }, func() error { played.SetSkew(0); return nil }},
		{"the control plane says no", "AccessDenied", func() error {
			played.Passwords.Script.Refuse("GetIdentityCenterAuthToken", script.Refusal{Status: 403, Code: "AccessDenied", Message: "no"})
			return nil
		}, func() error { played.Passwords.Script.Reset(); return nil }},
	} {
		if err := b.break_(); err != nil {
			t.Fatal(err)
		}
		refusedWith(t, b.name, chain(t), b.code)
		if err := b.mend(); err != nil {
			t.Fatal(err)
		}
		refusedWith(t, "after "+b.name, chain(t), "")
	}
}

func TestATokenForRedshiftNeedsAnIdentity(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	played := twintest.Start(t, twin.Config{Issuer: g.URL})
	tokens := must(exchange(t, played, g.assertion(t, "bob@example.com", nil)))(t)
	person := as(played, enhanced(t, played, *tokens.AwsAdditionalDetails.IdentityContext))
	plain := as(played, keys(twin.GatewayKeys()))
	token := must(redshift.NewFromConfig(person).GetIdentityCenterAuthToken(t.Context(), &redshift.GetIdentityCenterAuthTokenInput{ClusterIds: []string{twin.Cluster}}))(t)
	if user, err := played.Passwords.CheckToken(*token.Token, twin.Cluster); user != "bob@example.com" || !token.ExpirationTime.After(time.Now().Add(50*time.Minute)) {
		t.Errorf("the token is %q's, until %s, %v", user, token.ExpirationTime, err)
	}
	if _, err := played.Passwords.CheckToken(*token.Token, twin.Workgroup); err == nil {
		t.Error("a cluster's token opens the workgroup")
	}
	serverless := must(redshiftserverless.NewFromConfig(person).GetIdentityCenterAuthToken(t.Context(), &redshiftserverless.GetIdentityCenterAuthTokenInput{WorkgroupNames: []string{twin.Workgroup}}))(t)
	if user, err := played.Passwords.CheckToken(*serverless.Token, twin.Workgroup); user != "bob@example.com" || !serverless.ExpirationTime.After(time.Now()) {
		t.Errorf("the workgroup's token is %q's, %v", user, err)
	}
	_, err := redshift.NewFromConfig(plain).GetIdentityCenterAuthToken(t.Context(), &redshift.GetIdentityCenterAuthTokenInput{ClusterIds: []string{twin.Cluster}})
	var unsupported *redshifttypes.UnsupportedOperationFault
	if !errors.As(err, &unsupported) {
		t.Errorf("plain credentials: %v", err)
	}
	_, err = redshift.NewFromConfig(person).GetIdentityCenterAuthToken(t.Context(), &redshift.GetIdentityCenterAuthTokenInput{ClusterIds: []string{"ticket"}})
	var missing *redshifttypes.ClusterNotFoundFault
	if !errors.As(err, &missing) {
		t.Errorf("an unknown cluster: %v", err)
	}
}

func TestTheControlPlaneTellsAboutWarehousesAndGivesPasswords(t *testing.T) {
	t.Parallel()
	played := twintest.Start(t, twin.Config{})
	alice := as(played, keys(twin.DeveloperKeys("alice")))
	cluster := redshift.NewFromConfig(alice)
	described := must(cluster.DescribeClusters(t.Context(), &redshift.DescribeClustersInput{ClusterIdentifier: aws.String(twin.Cluster)}))(t)
	if c := described.Clusters[0]; *c.ClusterStatus != "available" || *c.Endpoint.Address != "localhost" || !strings.HasSuffix(played.WireAddress(), ":"+itoa(*c.Endpoint.Port)) {
		t.Errorf("described %+v at %+v", c, c.Endpoint)
	}
	_, err := cluster.DescribeClusters(t.Context(), &redshift.DescribeClustersInput{ClusterIdentifier: aws.String("x")})
	refusedWith(t, "an unknown cluster", err, "ClusterNotFound")
	given := must(cluster.GetClusterCredentials(t.Context(), &redshift.GetClusterCredentialsInput{ClusterIdentifier: aws.String(twin.Cluster), DbUser: aws.String("alice"), DurationSeconds: aws.Int32(900)}))(t)
	if *given.DbUser != "IAM:alice" || !given.Expiration.After(time.Now().Add(14*time.Minute)) {
		t.Errorf("given %s until %s", *given.DbUser, given.Expiration)
	}
	_, err = cluster.GetClusterCredentials(t.Context(), &redshift.GetClusterCredentialsInput{ClusterIdentifier: aws.String(twin.Cluster), DbUser: aws.String("bob")})
	refusedWith(t, "another's name", err, "AccessDenied")
	_, err = cluster.GetClusterCredentials(t.Context(), &redshift.GetClusterCredentialsInput{ClusterIdentifier: aws.String(twin.Cluster), DbUser: aws.String("alice"), DbGroups: []string{"admins"}})
	refusedWith(t, "a group", err, "AccessDenied")
	byRole := must(cluster.GetClusterCredentialsWithIAM(t.Context(), &redshift.GetClusterCredentialsWithIAMInput{ClusterIdentifier: aws.String(twin.Cluster)}))(t)
	if *byRole.DbUser != "IAMR:"+twin.RoleName || byRole.NextRefreshTime == nil {
		t.Errorf("by role %+v", byRole)
	}

	serverless := redshiftserverless.NewFromConfig(alice)
	workgroup := must(serverless.GetWorkgroup(t.Context(), &redshiftserverless.GetWorkgroupInput{WorkgroupName: aws.String(twin.Workgroup)}))(t)
	if w := workgroup.Workgroup; w.Status != serverlesstypes.WorkgroupStatusAvailable || *w.Endpoint.Address != "localhost" {
		t.Errorf("workgroup %+v", w)
	}
	if listed := must(serverless.ListWorkgroups(t.Context(), &redshiftserverless.ListWorkgroupsInput{}))(t); len(listed.Workgroups) != 1 {
		t.Errorf("%d workgroups", len(listed.Workgroups))
	}
	shared := must(serverless.GetCredentials(t.Context(), &redshiftserverless.GetCredentialsInput{WorkgroupName: aws.String(twin.Workgroup)}))(t)
	if *shared.DbUser != "IAMR:"+twin.RoleName || !shared.Expiration.After(time.Now()) {
		t.Errorf("shared %+v", shared)
	}
	_, err = serverless.GetWorkgroup(t.Context(), &redshiftserverless.GetWorkgroupInput{WorkgroupName: aws.String("nowhere")})
	var missing *serverlesstypes.ResourceNotFoundException
	if !errors.As(err, &missing) || aws.ToString(missing.ResourceName) != "nowhere" {
		t.Errorf("an unknown workgroup: %v", err)
	}
}

func TestAnotherAccountNeedsTheExternalID(t *testing.T) {
	t.Parallel()
	played := twintest.Start(t, twin.Config{})
	partner := sts.NewFromConfig(as(played, keys(twin.PartnerKeys())))
	input := sts.AssumeRoleInput{
		RoleArn: aws.String(twin.PartnerRoleARN), RoleSessionName: aws.String("carol"), ExternalId: aws.String(twin.ExternalID), SourceIdentity: aws.String("alice"), DurationSeconds: aws.Int32(900),
		Tags: []ststypes.Tag{{Key: aws.String("RedshiftDbUser"), Value: aws.String("alice")}}, TransitiveTagKeys: []string{"RedshiftDbUser"},
	}
	assumed := must(partner.AssumeRole(t.Context(), &input))(t)
	session := keys(sigv4.Credential{AccessKeyID: *assumed.Credentials.AccessKeyId, SecretAccessKey: *assumed.Credentials.SecretAccessKey, SessionToken: *assumed.Credentials.SessionToken})
	who := must(sts.NewFromConfig(as(played, session)).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{}))(t)
	if *who.Account != twin.Account || *who.Arn != "arn:aws:sts::"+twin.Account+":assumed-role/"+twin.PartnerRoleName+"/carol" || *assumed.SourceIdentity != "alice" {
		t.Errorf("%s in %s as %s", *who.Arn, *who.Account, *assumed.SourceIdentity)
	}
	if user, err := currentUser(t, played, session, redshiftdata.ExecuteStatementInput{DbUser: aws.String("alice")}); user != "alice" {
		t.Errorf("current_user is %q, %v", user, err)
	}
	for _, wrong := range []*string{nil, aws.String("another-id")} {
		input.ExternalId = wrong
		_, err := partner.AssumeRole(t.Context(), &input)
		refusedWith(t, "the external id "+aws.ToString(wrong), err, "AccessDenied")
	}
	input.ExternalId, input.ProvidedContexts = aws.String(twin.ExternalID), assumeInput("", "a context that nobody made").ProvidedContexts
	_, err := partner.AssumeRole(t.Context(), &input)
	refusedWith(t, "a made-up context", err, "InvalidContextAssertion")
}

func TestASecretHoldsAPassword(t *testing.T) {
	t.Parallel()
	played := twintest.Start(t, twin.Config{})
	alice := keys(twin.DeveloperKeys("alice"))
	client := secretsmanager.NewFromConfig(as(played, alice))
	for _, id := range []string{twin.SecretARN, "shiftgrant/tickit"} {
		got := must(client.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String(id)}))(t)
		if *got.ARN != twin.SecretARN || !strings.Contains(*got.SecretString, `"password":"`+twin.ServicePassword+`"`) || got.CreatedDate.IsZero() || got.VersionStages[0] != "AWSCURRENT" {
			t.Errorf("%s: %+v", id, got)
		}
	}
	if user, err := currentUser(t, played, alice, redshiftdata.ExecuteStatementInput{SecretArn: aws.String(twin.SecretARN)}); user != twin.ServiceUser {
		t.Errorf("current_user is %q, %v", user, err)
	}
	_, err := client.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String("other")})
	var missing *secretstypes.ResourceNotFoundException
	if !errors.As(err, &missing) {
		t.Errorf("an unknown secret: %v", err)
	}
	played.Secrets.Deny(twin.SecretARN, true)
	_, err = client.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String(twin.SecretARN)})
	refusedWith(t, "a denied secret", err, "AccessDeniedException")
	_, err = currentUser(t, played, alice, redshiftdata.ExecuteStatementInput{SecretArn: aws.String(twin.SecretARN)})
	refusedWith(t, "a denied secret in the Data API", err, "AccessDeniedException")
}

func TestKMSSignsWithAKeyThatItKeeps(t *testing.T) {
	t.Parallel()
	played := twintest.Start(t, twin.Config{})
	client := kms.NewFromConfig(as(played, keys(twin.GatewayKeys())))
	published := must(client.GetPublicKey(t.Context(), &kms.GetPublicKeyInput{KeyId: aws.String(twin.SigningKeyARN)}))(t)
	parsed := must(x509.ParsePKIXPublicKey(published.PublicKey))(t)
	if published.KeySpec != kmstypes.KeySpecRsa2048 || published.KeyUsage != kmstypes.KeyUsageTypeSignVerify {
		t.Errorf("a key %s for %s", published.KeySpec, published.KeyUsage)
	}
	message := []byte("header.payload")
	digest := sha256.Sum256(message)
	raw := must(client.Sign(t.Context(), &kms.SignInput{KeyId: aws.String(twin.SigningKeyARN), Message: message, SigningAlgorithm: kmstypes.SigningAlgorithmSpecRsassaPkcs1V15Sha256}))(t)
	hashed := must(client.Sign(t.Context(), &kms.SignInput{KeyId: aws.String(twin.SigningKeyARN), Message: digest[:], MessageType: kmstypes.MessageTypeDigest, SigningAlgorithm: kmstypes.SigningAlgorithmSpecRsassaPkcs1V15Sha256}))(t)
	if err := rsa.VerifyPKCS1v15(parsed.(*rsa.PublicKey), crypto.SHA256, digest[:], raw.Signature); err != nil || !bytes.Equal(raw.Signature, hashed.Signature) {
		t.Errorf("the signature does not hold: %v", err)
	}
	pss := must(client.Sign(t.Context(), &kms.SignInput{KeyId: aws.String(twin.SigningKeyARN), Message: message, SigningAlgorithm: kmstypes.SigningAlgorithmSpecRsassaPssSha256}))(t)
	if err := rsa.VerifyPSS(parsed.(*rsa.PublicKey), crypto.SHA256, digest[:], pss.Signature, nil); err != nil {
		t.Errorf("the PSS signature does not hold: %v", err)
	}
	sign := func(arn string, m []byte, kind kmstypes.MessageType) error {
		_, err := client.Sign(context.Background(), &kms.SignInput{KeyId: aws.String(arn), Message: m, MessageType: kind, SigningAlgorithm: kmstypes.SigningAlgorithmSpecRsassaPkcs1V15Sha256})
		return err
	}
	refusedWith(t, "a symmetric key", sign(twin.KeyARN, message, ""), "InvalidKeyUsageException")
	refusedWith(t, "a short digest", sign(twin.SigningKeyARN, message, kmstypes.MessageTypeDigest), "ValidationException")
	refusedWith(t, "a long message", sign(twin.SigningKeyARN, make([]byte, 5000), ""), "ValidationException")
	refusedWith(t, "an unknown key", sign(twin.KeyARN+"0", message, ""), "NotFoundException")
	played.KMS.Disable(twin.SigningKeyARN, true)
	refusedWith(t, "a disabled key", sign(twin.SigningKeyARN, message, ""), "DisabledException")
	_, err := client.Encrypt(t.Context(), &kms.EncryptInput{KeyId: aws.String(twin.KeyARN), Plaintext: message})
	refusedWith(t, "encrypting", err, "")
}
