"""The literature behind a run, numbered in the order in which a text cites it."""

REFERENCES = {
    "abadi": "Abadi M, Chu A, Goodfellow I, et al. Deep learning with differential privacy. CCS 2016. "
    "arXiv:1607.00133.",
    "blanchard": "Blanchard P, El Mhamdi EM, Guerraoui R, Stainer J. Machine learning with adversaries: Byzantine "
    "tolerant gradient descent. NeurIPS 2017. arXiv:1703.02757.",
    "bonawitz": "Bonawitz K, Ivanov V, Kreuter B, et al. Practical secure aggregation for privacy-preserving machine "
    "learning. CCS 2017. doi:10.1145/3133956.3133982.",
    "brainiac": "Tak D, Garomsa BA, et al. A generalizable foundation model for analysis of human brain MRI. Nat "
    "Neurosci 2026. doi:10.1038/s41593-026-02202-6.",
    "breiman": "Breiman L, Friedman JH, Olshen RA, Stone CJ. Classification and regression trees. Wadsworth, 1984.",
    "brier": "Brier GW. Verification of forecasts expressed in terms of probability. Mon Weather Rev 1950;78:1–3.",
    "cox": "Cox DR. Two further applications of a model for binary regression. Biometrika 1958;45:562–565.",
    "delong": "DeLong ER, DeLong DM, Clarke-Pearson DL. Comparing the areas under two or more correlated receiver "
    "operating characteristic curves: a nonparametric approach. Biometrics 1988;44:837–845.",
    "fedorov": "Fedorov A, Johnson J, Damaraju E, et al. End-to-end learning of brain tissue segmentation from "
    "imperfect labeling. IJCNN 2017. arXiv:1612.00940.",
    "fisch": "Fisch L, Zumdick S, Barkhau C, et al. deepbet: fast brain extraction of T1-weighted MRI using "
    "convolutional neural networks. Comput Biol Med 2024;179:108845.",
    "fonov": "Fonov V, Evans AC, Botteron K, et al. Unbiased average age-appropriate atlases for pediatric "
    "studies. NeuroImage 2011;54:313–327.",
    "hand_till": "Hand DJ, Till RJ. A simple generalisation of the area under the ROC curve for multiple class "
    "classification problems. Mach Learn 2001;45:171–186.",
    "he_lora": "He X, et al. Rate-My-LoRA: efficient and adaptive federated model tuning for cardiac MRI "
    "segmentation. ISBI 2025. arXiv:2501.03223.",
    "he_resnet": "He K, Zhang X, Ren S, Sun J. Deep residual learning for image recognition. CVPR 2016. "
    "arXiv:1512.03385.",
    "higgins_i2": "Higgins JPT, Thompson SG. Quantifying heterogeneity in a meta-analysis. Stat Med 2002;21:1539–1558.",
    "higgins_prediction": "Higgins JPT, Thompson SG, Spiegelhalter DJ. A re-evaluation of random-effects "
    "meta-analysis. J R Stat Soc A 2009;172:137–159.",
    "holm": "Holm S. A simple sequentially rejective multiple test procedure. Scand J Stat 1979;6:65–70.",
    "hsu": "Hsu T-MH, Qi H, Brown M. Measuring the effects of non-identical data distribution for federated "
    "visual classification. 2019. arXiv:1909.06335.",
    "hu": "Hu EJ, Shen Y, Wallis P, et al. LoRA: low-rank adaptation of large language models. ICLR 2022. "
    "arXiv:2106.09685.",
    "jiang": "Jiang M, Roth HR, Li W, et al. Fair federated medical image segmentation via client contribution "
    "estimation. CVPR 2023. arXiv:2303.16520.",
    "karimireddy": "Karimireddy SP, Kale S, Mohri M, et al. SCAFFOLD: stochastic controlled averaging for federated "
    "learning. ICML 2020. arXiv:1910.06378.",
    "koopman": "Koopman PAR. Confidence intervals for the ratio of two binomial proportions. Biometrics "
    "1984;40:513–517.",
    "li_fedbn": "Li X, Jiang M, Zhang X, Kamp M, Dou Q. FedBN: federated learning on non-IID features via local batch "
    "normalization. ICLR 2021. arXiv:2102.07623.",
    "li_fedprox": "Li T, Sahu AK, Zaheer M, et al. Federated optimization in heterogeneous networks. MLSys 2020. "
    "arXiv:1812.06127.",
    "li_fair": "Li T, Sanjabi M, Beirami A, Smith V. Fair resource allocation in federated learning. ICLR 2020. "
    "arXiv:1905.10497.",
    "loshchilov": "Loshchilov I, Hutter F. Decoupled weight decay regularization. ICLR 2019. arXiv:1711.05101.",
    "mcmahan": "McMahan B, Moore E, Ramage D, Hampson S, Agüera y Arcas B. Communication-efficient learning of deep "
    "networks from decentralized data. AISTATS 2017. arXiv:1602.05629.",
    "naeini": "Naeini MP, Cooper GF, Hauskrecht M. Obtaining well calibrated probabilities using Bayesian binning. "
    "AAAI 2015:2901–2907.",
    "newcombe": "Newcombe RG. Confidence intervals for an effect size measure based on the Mann–Whitney statistic. "
    "Part 2: asymptotic methods and evaluation. Stat Med 2006;25:559–573.",
    "nyul": "Nyúl LG, Udupa JK, Zhang X. New variants of a method of MRI scale standardization. IEEE Trans Med "
    "Imaging 2000;19:143–150.",
    "obuchowski": "Obuchowski NA. Nonparametric analysis of clustered ROC curve data. Biometrics 1997;53:567–578.",
    "openmind": "Wald T, Ulrich C, Suprijadi J, et al. An OpenMind for 3D medical vision self-supervised learning. "
    "2024. arXiv:2412.17041.",
    "paule": "Paule RC, Mandel J. Consensus values and weighting factors. J Res Natl Bur Stand 1982;87:377–385.",
    "platt": "Platt JC. Probabilistic outputs for support vector machines and comparisons to regularized "
    "likelihood methods. In: Advances in large margin classifiers. MIT Press, 1999:61–74.",
    "reddi": "Reddi SJ, Charles Z, Zaheer M, et al. Adaptive federated optimization. ICLR 2021. arXiv:2003.00295.",
    "selvaraju": "Selvaraju RR, Cogswell M, Das A, et al. Grad-CAM: visual explanations from deep networks via "
    "gradient-based localization. ICCV 2017. arXiv:1610.02391.",
    "shinohara": "Shinohara RT, Sweeney EM, Goldsmith J, et al. Statistical normalization techniques for magnetic "
    "resonance imaging. NeuroImage Clin 2014;6:9–19.",
    "singhal": "Singhal R, Ponkshe K, Vepakomma P. FedEx-LoRA: exact aggregation for federated and efficient "
    "fine-tuning of foundation models. 2024. arXiv:2410.09432.",
    "study": "Mouheb K, Elbatel M, Papma J, et al. Federated fine-tuning of SAM-Med3D for MRI-based dementia "
    "classification. 2025. arXiv:2508.21458.",
    "sun": "Sun Y, Li Z, Li Y, Ding B. Improving LoRA in privacy-preserving federated learning. ICLR 2024. "
    "arXiv:2403.12313.",
    "sundararajan": "Sundararajan M, Taly A, Yan Q. Axiomatic attribution for deep networks. ICML 2017. "
    "arXiv:1703.01365.",
    "tustison": "Tustison NJ, Avants BB, Cook PA, et al. N4ITK: improved N3 bias correction. IEEE Trans Med Imaging "
    "2010;29:1310–1320.",
    "van_calster": "Van Calster B, McLernon DJ, van Smeden M, Wynants L, Steyerberg EW. Calibration: the Achilles heel "
    "of predictive analytics. BMC Med 2019;17:230.",
    "vickers": "Vickers AJ, Elkin EB. Decision curve analysis: a novel method for evaluating prediction models. Med "
    "Decis Making 2006;26:565–574.",
    "wang": "Wang H, Guo S, Ye J, et al. SAM-Med3D: towards general-purpose segmentation models for volumetric "
    "medical images. 2023. arXiv:2310.15161.",
    "wilson": "Wilson EB. Probable inference, the law of succession, and statistical inference. J Am Stat Assoc "
    "1927;22:209–212.",
    "yeom": "Yeom S, Giacomelli I, Fredrikson M, Jha S. Privacy risk in machine learning: analyzing the "
    "connection to overfitting. CSF 2018. arXiv:1709.01604.",
    "yin": "Yin D, Chen Y, Ramchandran K, Bartlett P. Byzantine-robust distributed learning: towards optimal "
    "statistical rates. ICML 2018. arXiv:1803.01498.",
    "youden": "Youden WJ. Index for rating diagnostic tests. Cancer 1950;3:32–35.",
    "zeiler": "Zeiler MD, Fergus R. Visualizing and understanding convolutional networks. ECCV 2014. arXiv:1311.2901.",
    "zou": "Zou GY, Donner A. Construction of confidence limits about effect measures: a general approach. Stat "
    "Med 2008;27:1693–1702.",
}
"""Key → reference."""

OF_RULE = {
    "fedavg": "mcmahan",
    "fedce": "jiang",
    "rate_my_lora": "he_lora",
    "fedprox": "li_fedprox",
    "fedavgm": "hsu",
    "fedadam": "reddi",
    "fedyogi": "reddi",
    "scaffold": "karimireddy",
    "fedbn": "li_fedbn",
    "qfedavg": "li_fair",
    "median": "yin",
    "trimmed_mean": "yin",
    "krum": "blanchard",
}
"""Aggregation rule → key; a rule without an entry has no paper of its own."""

OF_ENCODER = {
    "vit_b": "wang",
    "tiny": "wang",
    "deepbet": "fisch",
    "meshnet": "fedorov",
    "volumes": "fedorov",
    "openmind_resenc": "openmind",
    "brainiac": "brainiac",
    "resnet18": "he_resnet",
}
"""Encoder → key; one that is not part of this package has none."""


class Citations:
    """Numbers references in the order in which they are first cited."""

    def __init__(self) -> None:
        self._keys: list[str] = []

    def __call__(self, *keys: str | None) -> str:
        """Return ` [1, 2]` for these keys, with a leading blank; empty if all are None.

        Raises:
            KeyError: If there is no such reference.
        """
        numbers = []
        for key in keys:
            if key is None:
                continue
            if key not in REFERENCES:
                raise KeyError(key)
            if key not in self._keys:
                self._keys.append(key)
            numbers.append(self._keys.index(key) + 1)
        return f" [{', '.join(map(str, numbers))}]" if numbers else ""

    @property
    def cited(self) -> tuple[str, ...]:
        """The cited references in the order of their numbers."""
        return tuple(REFERENCES[key] for key in self._keys)


class NoCitations(Citations):
    """Cites nothing, for text without a list of references."""

    def __call__(self, *keys: str | None) -> str:
        """Return an empty text."""
        return ""
