//! What the tests need besides cargo: an OpenID provider (Node), judges of exports
//! (Python), and a software HSM.

use crate::run::run;
use anyhow::Context as _;
use std::process::Command;

pub(crate) fn install() -> anyhow::Result<()> {
    let provider = "crates/indelible-server/tests/oidc";
    run("npm", &["ci", "--no-audit", "--no-fund", "--silent", "--prefix", provider])
        .context("the tests of OpenID Connect need Node 20 and npm")?;
    let judges = "crates/indelible/tests/judges";
    let python = format!("{judges}/venv/bin/python");
    run("python3", &["-m", "venv", &format!("{judges}/venv")])
        .context("the tests of exports need Python 3.11 with venv")?;
    let wanted = format!("{judges}/requirements.txt");
    run(&python, &["-m", "pip", "install", "--quiet", "--requirement", &wanted])?;
    let has_hsm = Command::new("softhsm2-util").arg("--version").output().is_ok();
    if !has_hsm {
        let packages = || run("apt-get", &["install", "--yes", "--quiet", "softhsm2"]);
        packages()
            .or_else(|_| run("apt-get", &["update", "--quiet"]).and_then(|()| packages()))
            .context("the tests of PKCS#11 need softhsm2: install it with the system's packages")?;
    }
    Ok(())
}
