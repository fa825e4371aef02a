// Judges certificates as Go's crypto/x509 does. Emissary validates the first certificate of each Secret so.
//
//	x509-judge              reads certificates, DER in base64, one a line: "ok", or why Go does not parse it
//	x509-judge credentials  reads {"chain", "key", "bundle"} in JSON, one a line: "ok", or why a server in Go does not accept the client
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
)

func main() {
	judge := certificate
	if len(os.Args) > 1 {
		judge = credential
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<22)
	for lines.Scan() {
		if err := judge(lines.Bytes()); err != nil {
			fmt.Println(err)
		} else {
			fmt.Println("ok")
		}
	}
}

func certificate(line []byte) error {
	der, err := base64.StdEncoding.DecodeString(string(line))
	if err != nil {
		return err
	}
	_, err = x509.ParseCertificate(der)
	return err
}

func credential(line []byte) error {
	var given struct{ Chain, Key, Bundle string }
	if err := json.Unmarshal(line, &given); err != nil {
		return err
	}
	pair, err := tls.X509KeyPair([]byte(given.Chain), []byte(given.Key))
	if err != nil {
		return err
	}
	options := x509.VerifyOptions{
		Roots:         x509.NewCertPool(),
		Intermediates: x509.NewCertPool(),
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	options.Roots.AppendCertsFromPEM([]byte(given.Bundle))
	for _, der := range pair.Certificate[1:] {
		intermediate, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		options.Intermediates.AddCert(intermediate)
	}
	_, err = pair.Leaf.Verify(options)
	return err
}
