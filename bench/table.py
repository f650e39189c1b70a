def nss_table(result): return "todo\n"
