"""`idmap work`: the nightly run and publication. Holds source secrets; hears no strangers."""
