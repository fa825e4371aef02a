// Reads certificates, DER in base64, one a line, and prints for each what Go's crypto/x509 says of it: "ok", or why not.
// Emissary validates the first certificate of each Secret so.
package main

import (
	"bufio"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"os"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fmt.Println(judge(lines.Text()))
	}
}

func judge(line string) string {
	der, err := base64.StdEncoding.DecodeString(line)
	if err == nil {
		_, err = x509.ParseCertificate(der)
	}
	if err != nil {
		return err.Error()
	}
	return "ok"
}
