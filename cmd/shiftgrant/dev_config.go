package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/shiftgrant/shiftgrant/internal/gateway"
	"github.com/shiftgrant/shiftgrant/internal/secret"
	"github.com/shiftgrant/shiftgrant/twin"
)

// devConfigFile is in the folder of the world, for `shiftgrant doctor` and whoever wants to look.
const devConfigFile = "shiftgrant.yaml"

// devTemplate is the configuration that an operator would write, for this world.
const devTemplate = `# Written by shiftgrant dev, anew at each start.
issuer: {{quote .Gateway}}
listen: 127.0.0.1:0 # the listener is given
data: {{quote .Data}}
log: {level: {{.Level}}, format: text}

upstreams:
  - name: twin
    display_name: the twin's IdP
    issuer: {{quote .IdP}}
    client_id: {{.ClientID}}
    client_secret: {{quote .ClientSecret}}
    scopes: [openid, profile, email, offline_access]

warehouses:
  - name: tickit
    display_name: Tickit sales
    description: Tickets, events and venues; the twin's PostgreSQL plays Redshift
    region: {{.Region}}
    cluster: {{.Cluster}}
    database: {{.Database}}
    transport: {{.Transport}}
    host: {{quote .Host}}
    ca: {{quote .Authority}}
    data_api_endpoint: {{quote .AWS}}
    redshift_endpoint: {{quote .AWS}}
    credentials: [{{if eq .Chain "web_identity"}}aws, {{end}}database] # what people may take out with shiftgrant exec and credential-process
    identity:
      chain: {{.Chain}}
{{if .Role}}      role_arn: {{quote .Role}}
{{end}}      audience: {{.Audience}}
      sts_endpoint: {{quote .AWS}}

apps:
  - id: stargazer
    name: Stargazer
    homepage: {{quote .App}}
    type: confidential
    redirect_uris: [{{quote .Callback}}]
    secret: {{quote .AppSecret}}
  - id: {{.Demo}}
    name: Command line demo
    type: public
    redirect_uris: [{{quote .DemoCallback}}]
`

// devConfig writes the configuration, the secrets and the certificate that it points to, and reads
// it as the gateway does.
func devConfig(folder, gatewayURL, appURL string, world *twin.Twin, appSecret secret.Text, options devOptions) (gateway.Config, error) {
	authority := filepath.Join(folder, "redshift-ca.pem")
	clientSecret, appSecretFile := filepath.Join(folder, "client.secret"), filepath.Join(folder, "stargazer.secret")
	role, audience := twin.RoleARN, twin.Audience
	if options.chain == "identity_center" {
		role, audience = "", twin.IdentityCenterAudience
	}
	var text strings.Builder
	written := template.Must(template.New("").Funcs(template.FuncMap{"quote": func(s string) string { return fmt.Sprintf("%q", s) }}).Parse(devTemplate))
	err := written.Execute(&text, map[string]string{
		"Gateway": gatewayURL, "Data": filepath.Join(folder, "gateway"), "Level": options.level,
		"IdP": world.IdPIssuer(), "ClientID": twin.ClientID, "ClientSecret": "file:" + clientSecret,
		"Region": twin.Region, "Cluster": twin.Cluster, "Database": twin.Database, "Transport": options.transport,
		"Host": world.WireAddress(), "Authority": authority, "AWS": world.URL(),
		"Chain": options.chain, "Role": role, "Audience": audience,
		"App": appURL, "Callback": appURL + "/callback", "AppSecret": "file:" + appSecretFile,
		"Demo": demoClient, "DemoCallback": demoRedirect,
	})
	if err != nil {
		return gateway.Config{}, fmt.Errorf("write the configuration: %w", err)
	}
	path := filepath.Join(folder, devConfigFile)
	for name, content := range map[string]string{
		authority: string(world.Authority()), clientSecret: twin.DefaultClientSecret, appSecretFile: appSecret.Reveal(), path: text.String(),
	} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			return gateway.Config{}, fmt.Errorf("write the configuration: %w", err)
		}
	}
	config, err := gateway.ReadConfig(path)
	if err != nil {
		return gateway.Config{}, err
	}
	return *config, nil
}
